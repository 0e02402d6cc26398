"""The recorder of module inputs and outputs, and the recording of taps with it."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import Recorder, count_channels, record
from nst_det.models.distillers.taps.tap import Tap


class Net(nn.Module):
    """A stem that runs once, a head that runs twice, and modules with several inputs or outputs."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, 4, 1)
        self.pair = Apply(lambda x: (x, 2 * x))
        self.named = Apply(lambda x: {'c4': x, 'c5': 3 * x})
        self.single = Apply(lambda x: [x])
        self.deep = Apply(lambda x: [x, {'c4': 4 * x, 'c5': 5 * x}])
        self.twice = Apply(lambda x: [2 * x])
        self.levels = Apply(lambda levels: levels[0])
        self.two_inputs = Apply(lambda x, y: x + y)
        self.keywords = Apply(lambda query, key, scale: scale * query + key)
        self.one_keyword = Apply(lambda query: query)
        self.relu = nn.ReLU(inplace=True)
        self.no_inputs = Apply(lambda: torch.zeros(1))
        self.flat = nn.Flatten()
        self.unused = nn.Identity()

    def forward(self, x):
        x = self.stem(x)
        self.pair(x), self.named(x), self.single(x), self.flat(x), self.deep(x)
        self.levels([6 * x, 7 * x]), self.two_inputs(8 * x, 9 * x), self.no_inputs()
        self.keywords(10 * x, key=11 * x, scale=2.0), self.one_keyword(query=12 * x)
        self.relu(13 * x)
        self.twice(x)[0].relu_()
        return self.head(self.head(x))


class Apply(nn.Module):
    """A module that applies a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


IMAGE = torch.arange(12.0).view(1, 3, 2, 2)


def record_layers(*layers, stop_early=False):
    net = Net()
    with record(net, [Tap(layer) for layer in layers], 'student', stop_early) as tensors:
        net(IMAGE)
    return net, tensors


def is_plain(net):
    """Whether no module carries anything that a recorder has put there."""
    return all(
        not {'forward', 'extract_feat'} & set(vars(module)) and not module._forward_hooks
        for module in net.modules()
    )


@pytest.mark.parametrize(
    ('layer', 'factor'),
    [
        ('stem', 1),
        ('pair[0]', 1),
        ('pair[1]', 2),
        ('pair[-1]', 2),
        ("named['c5']", 3),
        ('single', 1),
        ('deep[0]', 1),
        ("deep[-1]['c5']", 5),
        ('input:pair', 1),
        ('input:head@0', 1),
        ('input:levels[0]', 6),
        ('input:levels[-1]', 7),
        ('input:two_inputs[0]', 8),
        ('input:two_inputs[1]', 9),
        ('input:two_inputs[-1]', 9),
        ('input:keywords[0]', 10),
        ("input:keywords['key']", 11),
        ('input:one_keyword', 12),
    ],
)
@pytest.mark.parametrize('stop_early', [False, True])
def test_a_tap_records_what_its_spelling_names(layer, factor, stop_early):
    net, (tensor,) = record_layers(layer, stop_early=stop_early)
    assert torch.equal(tensor, factor * net.stem(IMAGE))


def test_a_tap_records_the_tensor_itself_so_that_gradients_can_be_taken_at_it():
    net = Net()
    with record(net, [Tap('stem'), Tap('input:head@0')], 'student') as (output, head_input):
        assert output is None and head_input is None
        net(IMAGE)
    with record(net, [Tap('stem'), Tap('input:head@0')], 'student') as tensors:
        result = net(IMAGE)
    assert tensors[0] is tensors[1]
    (gradient,) = torch.autograd.grad(result.sum(), [tensors[1]])
    assert gradient.abs().sum() > 0


def test_two_taps_of_one_module_share_its_call():
    net, (first, second) = record_layers('pair[0]', 'pair[1]')
    assert torch.equal(second, 2 * first)
    assert is_plain(net)


def test_a_call_of_a_module_is_chosen_by_its_number():
    net, (second, first, second_input) = record_layers('head@1', 'head@0', 'input:head@1')
    assert torch.equal(first, net.head(net.stem(IMAGE)))
    assert torch.equal(second, net.head(first))
    assert second_input is first


def test_an_early_stop_leaves_after_the_last_tap():
    net = Net()
    net.head.register_forward_hook(lambda *_: pytest.fail('the head ran'))
    with record(net, [Tap('stem')], 'teacher', stop_early=True) as tensors:
        net(IMAGE)
    assert len(tensors) == 1


def test_an_early_stop_at_an_input_leaves_before_the_module():
    net = Net()
    net.pair.forward = lambda x: pytest.fail('the module ran')
    with record(net, [Tap('input:pair')], 'teacher', stop_early=True) as tensors:
        net(IMAGE)
    assert torch.equal(tensors[0], net.stem(IMAGE))


def test_an_early_stop_passes_through_a_detector_that_catches_every_exception():
    class Careful(Net):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:
                pytest.fail('the detector caught the early stop')

    net = Careful()
    with record(net, [Tap('stem')], 'teacher', stop_early=True):
        net(IMAGE)
        pytest.fail('the block ran to its end')


def test_a_recorder_that_is_complete_ends_its_own_block_only():
    net, inputs = Net(), []
    with Recorder() as outer:
        outer.on_input(net.head, lambda call, args: inputs.append(args))
        with Recorder(is_complete=lambda: True) as inner:
            inner.on_output(net.stem, lambda call, output: None)
            net(IMAGE)
        assert not inputs
        net(IMAGE)
    assert len(inputs) == 2


def test_an_outer_recorder_that_is_complete_ends_the_inner_block_too():
    net = Net()
    with Recorder(is_complete=lambda: True) as outer:
        outer.on_output(net.stem, lambda call, output: None)
        with Recorder(is_complete=lambda: False) as inner:
            inner.on_output(net.head, lambda call, output: None)
            net(IMAGE)
        pytest.fail('the outer block ran to its end')
    assert is_plain(net)


def test_an_error_of_the_forward_pass_leaves_nothing_behind():
    net = Net()
    taps = [Tap('stem'), Tap('input:stem')]
    with pytest.raises(RuntimeError), record(net, taps, 'student'):
        net(torch.zeros(1, 5, 2, 2))
    assert is_plain(net)


def test_a_wrong_tap_leaves_nothing_behind():
    net = Net()
    with pytest.raises(UserError), record(net, [Tap('stem'), Tap('steem')], 'student'):
        pass
    assert is_plain(net)


def test_a_module_whose_forward_is_called_directly_is_recorded():
    net = Net()
    net.forward = lambda x: net.head.forward(net.stem.forward(x))
    with record(net, [Tap('stem'), Tap('input:head')], 'student') as tensors:
        net(IMAGE)
    assert torch.equal(tensors[0], net.stem(IMAGE))
    assert tensors[1] is tensors[0]


def test_an_output_is_recorded_as_the_hooks_of_a_user_leave_it():
    net = Net()
    net.stem.register_forward_hook(lambda module, inputs, output: 10 * output)
    for stop_early in (False, True):
        with record(net, [Tap('stem'), Tap('pair[0]')], 'student', stop_early) as tensors:
            net(IMAGE)
        assert tensors[0] is tensors[1]


def test_methods_are_put_back_as_they_were():
    net, outputs = Net(), []
    net.head.forward = net.stem.forward
    with Recorder() as recorder:
        recorder.on_input(net.head, lambda call, inputs: outputs.append(call))
        recorder.on_output(net.head, lambda call, output: outputs.append(output))
        recorder.on_output(net, lambda call, output: outputs.append(output), 'extra_repr')
        result = net.head(IMAGE)
        net.extra_repr()
    assert outputs[0] == 0 and outputs[1] is result and outputs[2] == ''
    assert vars(net.head)['forward'] == net.stem.forward
    assert 'extra_repr' not in vars(net)


@pytest.mark.parametrize(
    ('layer', 'message'),
    [
        ('steem', "has no layer 'steem': did you mean 'stem'?"),
        ('input:steem', "has no layer 'steem': did you mean 'stem'?"),
        (
            'head',
            "'head' runs 2 times in a forward pass: choose one, from 'head@0' to 'head@1'",
        ),
        ('input:head', "choose one, from 'input:head@0' to 'input:head@1'"),
        ('head@2', "'head' runs 2 times in a forward pass: choose one, from 'head@0' to 'head@1'"),
        ('stem@1', "'stem' runs once in a forward pass: write 'stem' without '@'"),
        ('input:stem@1', "'stem' runs once in a forward pass: write 'input:stem' without '@'"),
        ('twice[0]', "'twice' returns a feature map that a later module overwrites in place"),
        ('input:relu', "'relu' takes a feature map that this layer, or a later one, overwrites"),
        ('deep[1]', "gives 2 values: choose one of deep[1]['c4'], deep[1]['c5']"),
        ('unused', "'unused' did not run"),
        ('input:unused', "'unused' did not run"),
        ('pair', "'pair' gives 2 values: choose one of pair[0], pair[1]"),
        ('pair[2]', 'gives 2 values: choose one of pair[0], pair[1]'),
        ('input:two_inputs', 'choose one of input:two_inputs[0], input:two_inputs[1]'),
        ('input:levels', 'choose one of input:levels[0], input:levels[1]'),
        ('input:keywords', "one of input:keywords[0], input:keywords['key'], input:keywords['sc"),
        ("input:keywords['scale']", 'gives float, expected a feature map'),
        ('input:no_inputs', "layer 'input:no_inputs' gives 0 values"),
        ('named', "choose one of named['c4'], named['c5']"),
        ('stem[0]', "gives one feature map, not a sequence: write 'stem'"),
        ('input:pair[0]', "gives one feature map, not a sequence: write 'input:pair'"),
        ('flat', "'flat' gives (1, 16), expected a feature map (N, C, H, W)"),
    ],
)
def test_a_tap_that_cannot_be_recorded_is_one_clear_line(layer, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        record_layers(layer)
    assert message in str(error.value)


def test_channels_are_counted_without_changing_the_detector():
    detector = MODELS.build(
        dict(
            type='SingleStageDetector',
            data_preprocessor=dict(type='DetDataPreprocessor'),
            backbone=dict(type='ResNet', depth=18, base_channels=8, frozen_stages=1),
            bbox_head=dict(
                type='RetinaHead', num_classes=2, in_channels=64, anchor_generator=ANCHORS
            ),
        )
    ).train()
    modes = [module.training for module in detector.modules()]
    state = copy.deepcopy(detector.state_dict())
    random = torch.get_rng_state()
    assert count_channels(detector, Tap('backbone.layer2'), 'student') == 16
    assert count_channels(detector, Tap('input:backbone.layer2'), 'student') == 8
    assert [module.training for module in detector.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    for key, value in detector.state_dict().items():
        assert torch.equal(value, state[key]), key


ANCHORS = dict(type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[32])
