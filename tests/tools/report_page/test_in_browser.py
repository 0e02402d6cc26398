"""The report in a real browser, used by mouse, keyboard and finger."""

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
REACHABLE = 'a[href], button, select, summary, input, [tabindex="0"]'


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
        page.locator('.js-plotly-plot').first.wait_for()
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
    charts = len(data['charts']) + 2  # those of the class and of the term
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
    table = data['table']
    rows = page.locator('table.sortable tr:has(td)').all()
    assert len(rows) == len(table['rows']) + 1
    for row, wanted in zip(rows, [*table['rows'], table['mean']]):
        name, objects, *numbers = row.locator('th, td').all_inner_texts()
        assert name == wanted['name']
        assert objects == ('' if wanted['objects'] is None else str(wanted['objects']))
        assert numbers == [
            *(percent(value) for value in wanted['values']),
            *(percent(value, '+') for value in wanted['gains']),
        ]
    shown = page.locator('.panel span').all_inner_texts()
    panels = [panel for image in data['gallery'] for panel in image['panels']]
    for text, panel in zip(shown, panels, strict=True):
        score = panel['score']
        assert text == panel['title'] + ('' if score is None else f': F1 {percent(score)}')
    for run in data['runs']:
        for key, value in run['summary'].items():
            row = page.locator('table.configs tr', has=page.get_by_role('rowheader', name=key))
            assert value in row.first.inner_text()


def test_a_heading_sorts_by_mouse_and_by_keyboard(opened, data):
    page = opened()
    heading = page.locator('table.sortable th', has=page.get_by_role('button')).nth(1)
    by_objects = sorted(data['table']['rows'], key=lambda row: row['objects'])
    for press, direction in product(('mouse', 'Enter', 'Space'), ('descending', 'ascending')):
        if press == 'mouse':
            heading.locator('button').click()
        else:
            heading.locator('button').focus()
            page.keyboard.press(press)
        assert heading.get_attribute('aria-sort') == direction
        shown = page.locator('table.sortable tbody td:nth-child(2)').all_inner_texts()
        wanted = [str(row['objects']) for row in by_objects]
        assert shown == (wanted if direction == 'ascending' else wanted[::-1])
    assert page.locator('th[aria-sort]:not([aria-sort=none])').count() == 1
    assert page.locator('tfoot th').inner_text() == 'mean (mAP)'  # stays at the end


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
