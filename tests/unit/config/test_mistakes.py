"""A mistake in any option of a config is one clear line with the path of the option."""

import copy
import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from nst_det.config.options import check_hooks
from nst_det.errors import UserError

LAYER = 'backbone.inception_4b'
numbers = st.floats(0, 1e3)
kernels = st.one_of(
    st.fixed_dictionaries(dict(type=st.just('LinearKernel'))),
    st.fixed_dictionaries(
        dict(type=st.just('PolynomialKernel')),
        optional=dict(degree=st.integers(1, 4), offset=numbers),
    ),
    st.fixed_dictionaries(
        dict(type=st.just('GaussianKernel')),
        optional=dict(sigma_squared=st.none() | st.floats(0.1, 10)),
    ),
)
feature_losses = st.one_of(
    st.fixed_dictionaries(
        dict(type=st.just('NSTLoss'), kernel=kernels), optional=dict(loss_weight=numbers)
    ),
    st.fixed_dictionaries(
        dict(type=st.just('ATLoss')),
        optional=dict(loss_weight=numbers, mode=st.sampled_from(['paper', 'code'])),
    ),
    st.fixed_dictionaries(
        dict(
            type=st.just('FitNetLoss'),
            connector=st.fixed_dictionaries(
                dict(
                    type=st.just('ConvConnector'),
                    student_channels=st.just(72),
                    teacher_channels=st.just(72),
                ),
                optional=dict(kernel_size=st.just(3), always=st.booleans()),
            ),
        ),
        optional=dict(loss_weight=numbers),
    ),
)
logit_losses = st.fixed_dictionaries(
    dict(type=st.just('KDLoss')), optional=dict(loss_weight=numbers, temperature=st.floats(1, 9))
)
transfers = st.one_of(
    st.fixed_dictionaries(dict(layer=st.just(LAYER), loss=feature_losses)),
    st.fixed_dictionaries(
        dict(student_layer=st.just(LAYER), teacher_layer=st.just(LAYER), loss=feature_losses)
    ),
    st.fixed_dictionaries(dict(loss=logit_losses)),
)
distillers = st.fixed_dictionaries(
    dict(
        type=st.just('NSTDistiller'),
        teacher=st.fixed_dictionaries(
            dict(config=st.just('teacher.py'), checkpoint=st.just('random')),
            optional=dict(
                sha256=st.just('deadbeef'),
                fuse=st.booleans(),
                channels_last=st.none() | st.booleans(),
                precision=st.sampled_from([None, 'float32', 'bfloat16', 'float16']),
                cache=st.none() | st.just('work_dirs/teacher_cache'),
                cache_gib=st.floats(0.1, 1e3),
            ),
        ),
        transfers=st.lists(transfers, min_size=1, max_size=2),
    ),
    optional=dict(ignore_padding=st.booleans(), monitor_interval=st.integers(0, 99)),
)
weight_hooks = st.fixed_dictionaries(
    dict(
        type=st.just('TransferWeightHook'),
        warmup=st.integers(1, 9),
        decay=st.tuples(st.integers(10, 19), st.integers(20, 29)),
        stop=st.integers(30, 39),
    ),
    optional=dict(
        start_factor=st.floats(0, 1),
        end_factor=st.floats(0, 1),
        curve=st.sampled_from(['linear', 'cosine']),
        by_epoch=st.booleans(),
        transfers=st.lists(st.just(LAYER), min_size=1),
        priority=st.just('LOW'),
    ),
)
figure_hooks = st.fixed_dictionaries(
    dict(type=st.just('PatternFigureHook')),
    optional=dict(interval=st.integers(1, 9), by_epoch=st.booleans(), image=st.just('a.jpg')),
)
layout_hooks = st.fixed_dictionaries(
    dict(type=st.just('ChannelsLastHook')),
    optional=dict(devices=st.lists(st.sampled_from(['cpu', 'cuda']), min_size=1)),
)
hooks = weight_hooks | figure_hooks | layout_hooks | st.just(dict(type='FiniteLossHook'))
values = st.sampled_from(
    [
        *(None, True, '', 'text', '[', 'os.system', 0, -1, 7, 2.5, -0.5, 10**400, -(10**400)),
        *(math.nan, math.inf, -math.inf, [], [1], {}, {'type': 'LinearKernel'}, {1: 2}, 1j, (1, 2)),
        *(dict, len, b'bytes', {'type': 5}, {'type': 'FasterRCNN'}, {'type': None}),
    ]
)


def options_of(cfg, path=()):
    """The paths of all options in a config, as tuples of keys and indices."""
    items = cfg.items() if isinstance(cfg, dict) else enumerate(cfg)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict) or (isinstance(value, list) and key != 'config'):
            yield from options_of(value, (*path, key))


def spelled(path):
    """``('transfers', 0, 'loss')`` as ``transfers[0].loss``."""
    return re.sub(r'\.(\d+)', r'[\1]', '.'.join(map(str, path)))


@st.composite
def with_a_mistake(draw, configs):
    """A config, one option of which has another value, is missing or misspelled; and which one."""
    cfg = copy.deepcopy(draw(configs))
    paths = [path for path in options_of(cfg) if path != ('type',)]
    path = draw(st.sampled_from(paths))
    *outer, key = path
    owner = cfg
    for step in outer:
        owner = owner[step]
    kind = draw(st.sampled_from(['value', 'value', 'missing', 'misspelled']))
    if kind == 'value' or isinstance(key, int):
        owner[key] = draw(values)
        while isinstance(path[-1], int) and len(path) > 1:  # an element goes by its list's name
            path = path[:-1]
        return cfg, spelled(path[:-1]), spelled(path[-1:])
    value = owner.pop(key)
    if kind == 'misspelled':
        owner[f'{key}s'] = value
    return cfg, spelled(outer), key


def check_error(build, owner, name):
    """Build; an error must be one line with the option's path."""
    try:
        build()
    except UserError as error:
        line = str(error)
        assert '\n' not in line
        assert owner in line and str(name) in line
        assert error.option is not None
        assert error.option.startswith(owner)
        part, dot, _ = error.option.rpartition('.')
        assert not dot or line.startswith(part)


# One student serves all examples, and a busy machine is no fault.
EASY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture
def student(tiny_config):
    return tiny_config('student').model


@settings(max_examples=300, deadline=None, suppress_health_check=EASY)
@given(with_a_mistake(distillers))
def test_a_mistake_in_the_config_of_a_distiller(student, case):
    cfg, owner, name = case
    check_error(lambda: MODELS.build(ConfigDict(dict(cfg, student=student))), owner, name)


@settings(max_examples=20, deadline=None, suppress_health_check=EASY)
@given(distillers)
def test_a_config_of_a_distiller_without_a_mistake_is_built(student, cfg):
    MODELS.build(ConfigDict(dict(cfg, student=student)))


@settings(max_examples=400, deadline=None, suppress_health_check=EASY)
@given(with_a_mistake(st.lists(hooks, min_size=1, max_size=2)))
def test_a_mistake_in_the_config_of_a_hook(case):
    cfgs, owner, name = case
    owner = re.sub(r'^(\d+)', r'custom_hooks[\1]', owner)
    name = re.sub(r'^(\d+)$', r'custom_hooks[\1]', str(name))
    check_error(lambda: check_hooks(cfgs), owner, name)


@settings(deadline=None, suppress_health_check=EASY)
@given(st.lists(hooks, min_size=1, max_size=2))
def test_a_config_of_hooks_without_a_mistake_is_accepted(cfgs):
    check_hooks(cfgs)


@pytest.mark.parametrize(
    ('change', 'option', 'line'),
    [
        (
            dict(loss=dict(type='NSTLoss', kernel=dict(type='PolynomialKernel', degree=2.5))),
            'transfers[0].loss.kernel.degree',
            'transfers[0].loss.kernel.degree is 2.5, expected a whole number',
        ),
        (
            dict(loss=dict(type='NSTLoss', kernel=dict(type='PolinomialKernel'))),
            'transfers[0].loss.kernel.type',
            "transfers[0].loss.kernel.type: unknown kernel 'PolinomialKernel': did you mean 'Poly",
        ),
        (
            dict(loss=dict(type='KDLoss', temperatur=2)),
            'transfers[0].loss.temperatur',
            "transfers[0].loss (KDLoss) has no option 'temperatur': did you mean 'temperature'",
        ),
        (
            dict(loss=dict(type='NSTLoss', _delete_=True)),
            'transfers[0].loss._delete_',
            "transfers[0].loss (NSTLoss) has no option '_delete_': it works in a dict that",
        ),
        (
            dict(layer='backbone.inception_4z'),
            'transfers[0].layer',
            "transfers[0].layer: the student (FasterRCNN) has no layer 'backbone.inception_4z'",
        ),
        (dict(layer=5), 'transfers[0].layer', 'transfers[0].layer is 5, expected a module path'),
    ],
)
def test_the_error_of_a_part_has_the_path_of_the_option(student, change, option, line):
    transfer = dict(dict(layer=LAYER, loss=dict(type='NSTLoss')), **change)
    if transfer['loss']['type'] == 'KDLoss':
        del transfer['layer']
    teacher = dict(config='teacher.py', checkpoint='random')
    with pytest.raises(UserError) as caught:
        MODELS.build(
            dict(type='NSTDistiller', student=student, teacher=teacher, transfers=[transfer])
        )
    assert caught.value.option == option
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ('options', 'wrong', 'line'),
    [
        (dict(studnt=1), 'studnt', "NSTDistiller has no option 'studnt': did you mean 'student'"),
        ({}, 'student', "NSTDistiller has no 'student': give it"),
        (dict(student=5), 'student', 'student is 5'),
    ],
)
def test_the_error_of_the_distiller_has_the_name_of_the_option(options, wrong, line):
    others = dict(teacher=dict(config='teacher.py', checkpoint='random'), transfers=[])
    with pytest.raises(UserError) as caught:
        MODELS.build(dict(type='NSTDistiller', **others, **options))
    assert caught.value.option == wrong
    assert str(caught.value).startswith(line)
