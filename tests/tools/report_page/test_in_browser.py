"""The report in a real browser, used by mouse, keyboard and finger."""

import base64
import csv
import json
import shutil
from itertools import product

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
QUIET = ('quic', 'background-networking', 'component-update', 'sync', 'gpu')
DESKTOP, PHONE = dict(width=1280, height=900), dict(width=390, height=844)

# WCAG 2, 1.4.3: the contrast of every text to what is behind it. Text over pictures has a rim.
CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let part = element; part; part = part.parentElement) {
      const colour = rgb(getComputedStyle(part).backgroundColor);
      if ((colour[3] ?? 1) === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || !element.getClientRects().length || element.closest('script, title')) continue;
    const style = getComputedStyle(element);
    const own = rgb(element.closest('svg') ? style.fill : style.color);
    const ground = element.closest('.panel svg') ? rgb(style.stroke) : behind(element);
    const [low, high] = [light(own), light(ground)].sort((a, b) => a - b);
    found.push([text.slice(0, 40), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""
REACHABLE = 'a[href], button:enabled, select, summary, input, [tabindex="0"]'


def percent(value: float | None, sign: str = '') -> str:
    """A number of the JSON as the report shows it."""
    if value is None:
        return '–'
    text = f'{100 * value:{sign}.1f}'.replace('-', '−')
    return '0.0' if text.strip('+−') == '0.0' else text


def wait_until(page, condition: str) -> None:
    """Wait for a condition; ``wait_for_function`` is forbidden by the policy of the page."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f'not within 5 seconds: {condition}')


@pytest.fixture(scope='module')
def browser():
    """A browser without a window."""
    sync_api = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip('there is no chromium or chrome to open the report in')
    options = ['--no-first-run', *(f'--disable-{feature}' for feature in QUIET)]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report):
    """``opened(viewport=…, …)`` gives the report in a new window, whose errors fail the test."""
    contexts, complaints, requests = [], [], []

    def open_report(**options):
        context = browser.new_context(**{'viewport': DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on('console', lambda message: complaints.append(message.text))
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.on('request', lambda request: requests.append(request.url))
        page.goto(report.file.as_uri())
        wait_until(
            page,
            'document.querySelectorAll(".js-plotly-plot").length === '
            'document.querySelectorAll(".chart").length',
        )
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert complaints == []
    fetched = [url for url in requests if not url.startswith(('data:', 'blob:'))]
    assert set(fetched) == {report.file.as_uri()}


@pytest.fixture
def data(report) -> dict:
    """The numbers in the JSON of the report."""
    text = report.file.read_text()
    start = text.index('id="report-data">') + len('id="report-data">')
    return json.loads(text[start : text.index('</script>', start)])


def test_the_report_draws_every_chart_and_opens_every_part_without_an_error_or_a_request(
    opened, data
):
    page = opened()
    charts = len(data['charts']) + 3  # of the class, of the term and of the calibration
    assert page.locator('.js-plotly-plot .xy .scatterlayer .trace').count() >= charts
    assert page.locator('.js-plotly-plot').count() == charts
    for box, choices in (('#class', data['curves']), ('#term', data['terms'])):
        for i in range(len(choices)):
            page.select_option(box, index=i)
    for summary in page.locator('summary').all():
        summary.click()
    assert page.locator('details[open] pre').count() == len(data['runs'])
    assert page.evaluate('document.getAnimations().length') == 0  # nothing moves by itself


def test_the_numbers_shown_are_those_of_the_json(opened, data):
    page = opened()
    scores = page.locator('.card .score').all_inner_texts()
    assert scores == [percent(run['score']) for run in data['runs']]
    gains = page.locator('.card .gain').all_inner_texts()
    assert [text.split()[0] for text in gains] == [
        percent(gain['gain'], '+') for gain in data['gains']
    ]
    table = data['tables'][0]
    rows = page.locator('#by-class-0 tr:has(td)').all()
    assert len(rows) == len(table['rows']) + 1
    for row, wanted in zip(rows, [*table['rows'], table['mean']]):
        name, objects, *numbers = row.locator('th, td').all_inner_texts()
        assert name == wanted['name']
        assert objects == ('' if wanted['objects'] is None else str(wanted['objects']))
        assert numbers == [
            *(percent(value) for value in wanted['values']),
            *(percent(value, '+') for value in wanted['gains']),
        ]
    shown = page.locator('#gallery figcaption').all_inner_texts()
    assert shown == [
        f'{image["name"]}: F1 {percent(image["gain"], "+")}' for image in data['gallery']['images']
    ]
    for run in data['runs']:
        for key, value in run['summary'].items():
            row = page.locator('table.configs tr', has=page.get_by_role('rowheader', name=key))
            assert value in row.first.inner_text()


def test_a_heading_sorts_by_mouse_and_by_keyboard(opened, data):
    page = opened()
    heading = page.locator('#by-class-0 th', has=page.get_by_role('button')).nth(1)
    by_objects = sorted(data['tables'][0]['rows'], key=lambda row: row['objects'])
    for press, direction in product(('mouse', 'Enter', 'Space'), ('descending', 'ascending')):
        if press == 'mouse':
            heading.locator('button').click()
        else:
            heading.locator('button').focus()
            page.keyboard.press(press)
        assert heading.get_attribute('aria-sort') == direction
        shown = page.locator('#by-class-0 tbody td:nth-child(2)').all_inner_texts()
        wanted = [str(row['objects']) for row in by_objects]
        assert shown == (wanted if direction == 'ascending' else wanted[::-1])
    assert page.locator('th[aria-sort]:not([aria-sort=none])').count() == 1
    assert page.locator('#by-class-0 tfoot th').inner_text() == 'mean (mAP)'  # stays at the end


def test_pointing_at_a_chart_shows_the_numbers_there(opened, data):
    page = opened()
    number, chart = next(
        (i, chart) for i, chart in enumerate(data['charts']) if chart['title'] == 'Training loss'
    )
    where = page.locator(f'[data-chart="{number}"]')
    where.scroll_into_view_if_needed()
    assert where.locator('.hoverlayer text').count() == 0
    where.locator('.nsewdrag').hover()  # its middle: the second of three iterations
    tip = where.locator('.hoverlayer').text_content()
    for series in chart['series']:
        assert series['name'] in tip
        assert f'{series["y"][1]:.4g}' in tip


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_all_text_has_enough_contrast(opened, scheme):
    page = opened(color_scheme=scheme)
    for summary in page.locator('summary').all():
        summary.click()
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert [contrast for contrast in contrasts if contrast[1] < 4.5] == []


def test_the_dark_mode_changes_the_charts_too_while_the_page_is_open(opened):
    page = opened(color_scheme='light')
    ground = 'getComputedStyle(document.body).backgroundColor'
    ink = 'getComputedStyle(document.querySelector("#pr .xtick text")).fill'
    light = [page.evaluate(ground), page.evaluate(ink)]
    assert light[0] == 'rgb(255, 255, 255)'
    page.emulate_media(color_scheme='dark')
    wait_until(page, f'{ground} !== "{light[0]}"')
    wait_until(page, f'{ink} !== "{light[1]}"')


def test_on_a_phone_nothing_is_wider_than_the_screen(opened):
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate('document.documentElement.scrollWidth') == PHONE['width']
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')]
        .filter((tag) => !tag.closest('.scroll, svg') && tag.getBoundingClientRect().right > 390.5)
        .map((tag) => tag.outerHTML.slice(0, 80))"""
    )
    assert outside == []


def test_a_finger_on_a_chart_scrolls_the_page_and_a_tap_shows_its_numbers(opened, data):
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True)
    where = page.locator('[data-chart="0"]')
    chart = where.locator('.nsewdrag')
    chart.tap()
    tip = where.locator('.hoverlayer').text_content()
    assert all(run['name'] in tip for run in data['runs'])
    range_of = 'document.querySelector("[data-chart]").layout.yaxis.range'
    shown = page.evaluate(range_of)
    before, box = page.evaluate('scrollY'), chart.bounding_box()
    touch = page.context.new_cdp_session(page)
    for step in range(10):
        kind = 'touchMove' if step else 'touchStart'
        point = dict(x=box['x'] + box['width'] / 2, y=box['y'] + box['height'] / 2 - 15 * step)
        touch.send('Input.dispatchTouchEvent', dict(type=kind, touchPoints=[point]))
    touch.send('Input.dispatchTouchEvent', dict(type='touchEnd', touchPoints=[]))
    wait_until(page, f'scrollY > {before + 50}')
    assert page.evaluate(range_of) == shown  # it has not zoomed


def test_tab_reaches_every_control_in_the_order_of_the_page_and_marks_it(opened):
    page = opened()
    wanted = page.evaluate(
        """(reachable) => {
        const all = [...document.querySelectorAll(reachable)]
            .filter((element) => element.checkVisibility());
        all.forEach((element, i) => { element.dataset.place = i; });
        return all.length;
    }""",
        REACHABLE,
    )
    places = []
    for _ in range(wanted):
        page.keyboard.press('Tab')
        place, outline, inside = page.evaluate("""() => {
            const active = document.activeElement;
            const { left, top, right } = active.getBoundingClientRect();
            return [active.dataset.place, getComputedStyle(active).outlineStyle,
                    left >= 0 && top >= 0 && right <= innerWidth];
        }""")
        assert outline == 'solid' and inside, place
        places.append(place)
    assert places == [str(i) for i in range(wanted)]
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.dataset.place') is None  # and there it ends


def test_the_first_tab_offers_to_skip_to_the_results(opened):
    page = opened()
    page.keyboard.press('Tab')
    assert page.locator(':focus').inner_text() == 'Skip to the results'
    page.keyboard.press('Enter')
    assert page.evaluate('location.hash') == '#results'
    page.keyboard.press('Tab')
    assert page.evaluate("document.activeElement.closest('#results') !== null")


def test_the_keyboard_opens_a_config_and_chooses_a_class(opened, data):
    page = opened()
    page.locator('summary').first.focus()
    page.keyboard.press('Enter')
    assert page.locator('details').first.get_attribute('open') is not None
    page.locator('#class').focus()
    page.keyboard.press('ArrowDown')
    chosen = data['curves'][1]
    legend = page.locator('#pr .legendtext').all_text_contents()
    assert page.locator('#class').input_value() == chosen['class']
    assert legend == [f'{curve["run"]} (AP {percent(curve["ap"])})' for curve in chosen['series']]


# The gallery, the tables to choose from, and CSV.


def found_at(image, run, threshold):
    """How many detections of a run on an image have at least this score."""
    return sum(score >= threshold for score in image['found'][run]['scores'])


def f1(image, run, threshold):
    """F1 of a run on an image, as the docs define it."""
    right = image['found'][run]['right'][: found_at(image, run, threshold)]
    total = len(image['truth']['labels']) + sum(verdict != -1 for verdict in right)
    return 2 * right.count(1) / total if total else 1


def slide(page, score):
    """Move the slider of the score."""
    page.locator('#score').fill(str(score))


def test_the_slider_shows_the_detections_of_at_least_its_score(opened, data):
    page = opened()
    runs = data['gallery']['runs']
    by_name = {image['name']: image for image in data['gallery']['images']}
    for threshold in (0.3, 0.6, 0.95):
        slide(page, threshold)
        assert page.locator('#score-text').inner_text() == f'{threshold:.2f}'
        for figure in page.locator('#gallery figure').all():
            image = by_name[figure.locator('figcaption').inner_text().split(':')[0]]
            truth, *panels = figure.locator('.panel').all()
            assert truth.locator('rect').count() == len(image['truth']['labels'])
            for run, panel in zip(runs, panels, strict=True):
                assert panel.locator('rect').count() == found_at(image, run, threshold)
                score = percent(f1(image, run, threshold))
                assert panel.locator('span').inner_text() == f'{run}: F1 {score}'


def test_images_are_found_by_file_name_class_and_change(opened, data):
    page = opened()
    state, images = page.locator('#gallery-state'), data['gallery']['images']
    page.fill('#find', '00001')
    wanted = sum('00001' in image['name'] for image in images)
    assert 0 < wanted < len(images)
    assert state.inner_text().startswith(f'{wanted} of {len(images)} images')
    page.fill('#find', 'nowhere')
    assert state.inner_text() == f'0 of {len(images)} images.'
    page.fill('#find', '')
    for label, name in enumerate(data['gallery']['classes']):
        page.select_option('#gallery-class', label=name)
        wanted = sum(
            label in image['truth']['labels']
            or any(
                label in found['labels'][: found_at(image, run, 0.3)]
                for run, found in image['found'].items()
            )
            for image in images
        )
        assert state.inner_text().startswith(f'{wanted} of ')
    page.select_option('#gallery-class', '')
    signs = dict(
        better=lambda gain: gain > 0, worse=lambda gain: gain < 0, same=lambda gain: gain == 0
    )
    for change, has in signs.items():
        page.select_option('#change', change)
        wanted = sum(has(round(image['gain'], 9)) for image in images)
        assert state.inner_text().startswith(f'{wanted} of ')


def test_a_page_of_five_thousand_images_opens_at_once(browser, report, data, tmp_path):
    images = data['gallery']['images']
    data['gallery']['images'] = [
        dict(images[i % len(images)], name=f'photo {i:04}.jpg') for i in range(5000)
    ]
    blocks = {'data': data, 'pictures': ['report_files/000000.jpg'] * 5000}
    text = report.file.read_text()
    for name, content in blocks.items():
        start = text.index(f'id="report-{name}">') + len(f'id="report-{name}">')
        text = text[:start] + json.dumps(content) + text[text.index('</script>', start) :]
    (tmp_path / 'many.html').write_text(text)
    page = browser.new_page(viewport=DESKTOP)
    measure = page.context.new_cdp_session(page)
    # Its own work: a busy machine is no fault of the page.
    measure.send('Performance.enable', dict(timeDomain='threadTicks'))
    page.goto((tmp_path / 'many.html').as_uri(), wait_until='commit')
    page.locator('#gallery figure').first.wait_for()
    spent = {
        metric['name']: metric['value']
        for metric in measure.send('Performance.getMetrics')['metrics']
    }
    assert 0 < spent['TaskDuration'] < 2  # seconds
    state, figures = page.locator('#gallery-state'), page.locator('#gallery figure')
    assert state.inner_text() == '5000 of 5000 images, 1 to 12 of them below.'
    assert figures.count() == 12
    page.locator('#next').click()
    assert state.inner_text() == '5000 of 5000 images, 13 to 24 of them below.'
    page.fill('#find', 'photo 4999')
    assert state.inner_text() == '1 of 5000 images, 1 to 1 of them below.'
    assert page.locator('#next').is_disabled() and page.locator('#previous').is_disabled()
    page.close()


def test_pictures_beside_the_page_are_shown(browser, report, tmp_path):
    text = report.file.read_text()
    start = text.index('id="report-pictures">') + len('id="report-pictures">')
    pictures = json.loads(text[start : text.index('</script>', start)])
    folder = tmp_path / 'report_files'
    folder.mkdir()
    (folder / '000000.jpg').write_bytes(base64.b64decode(pictures[0].split(',')[1]))
    beside = ['report_files/000000.jpg'] * len(pictures)
    text = text[:start] + json.dumps(beside) + text[text.index('</script>', start) :]
    (tmp_path / 'report.html').write_text(text)
    page, loaded, complaints = browser.new_page(), [], []
    page.on('requestfinished', lambda request: loaded.append(request.url))
    page.on('console', lambda message: complaints.append(message.text))
    page.goto((tmp_path / 'report.html').as_uri())
    assert (folder / '000000.jpg').as_uri() in loaded
    assert complaints == []
    page.close()


def test_images_are_ordered_as_chosen(opened, data):
    page = opened()
    images, captions = data['gallery']['images'], page.locator('#gallery figcaption')
    orders = dict(
        name=lambda image: image['name'],
        gain=lambda image: (-image['gain'], image['name']),
        loss=lambda image: (image['gain'], image['name']),
        low=lambda image: (f1(image, 'nst_student', 0.3), image['name']),
    )
    for order, key in orders.items():
        page.select_option('#order', order)
        names = [text.split(':')[0] for text in captions.all_inner_texts()]
        assert names == [image['name'] for image in sorted(images, key=key)]


def test_another_metric_shows_another_table(opened, data):
    page = opened()
    titles = [table['title'] for table in data['tables']]
    assert len(titles) > 3
    for i, title in enumerate(titles):
        page.select_option('#by-class', label=title)
        assert page.locator('.choice:visible table').get_attribute('id') == f'by-class-{i}'


def test_the_confusion_matrix_is_that_of_the_chosen_run(opened, data):
    page = opened()
    for run, matrix in data['confusion']['matrices'].items():
        page.select_option('#confusion-run', run)
        shown = [
            row.locator('td').all_inner_texts() for row in page.locator('#confusion tbody tr').all()
        ]
        matrix[-1][-1] = ''  # nothing found where nothing is
        assert shown == [list(map(str, counts)) for counts in matrix]


def test_every_table_is_saved_as_csv(opened, data, tmp_path):
    page = opened()
    tables = page.locator('main table').count()
    buttons = page.locator('.csv').all()
    assert len(buttons) == tables
    visible = [button for button in buttons if button.is_visible()]
    for button in visible:
        with page.expect_download() as download:
            button.click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        lines = list(csv.reader(file.read_text(encoding='utf-8-sig').splitlines()))
        table = page.locator(f'#{button.get_attribute("data-table")}')
        assert len(lines) == table.locator('tr').count()
        assert len({len(line) for line in lines}) == 1
    lines = list(csv.reader((tmp_path / 'ap_by_class.csv').read_text('utf-8-sig').splitlines()))
    rows = [*data['tables'][0]['rows'], data['tables'][0]['mean']]
    for line, row in zip(lines[1:], rows, strict=True):
        values = [*row['values'], *row['gains']]
        shown = [float(text) if text not in ('', 'nan') else None for text in line[2:]]
        assert shown == [None if value is None else pytest.approx(value) for value in values]
