'use strict';
const data = JSON.parse(document.getElementById('report-data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
// On a touch screen, a finger on a chart scrolls the page instead of zooming.
const dragmode = matchMedia('(pointer: coarse)').matches ? false : 'zoom';
const DASHES = ['solid', 'dash', 'dot', 'dashdot'];
const COLOURS = { teacher: '#3987d0', baseline: '#8a8f98', distilled: '#e0662f' };

// A run has the same colour in every chart; further runs of its role have another dash. The line of
// a baseline is broad, so that it is visible below that of a distilled run.
const styles = {};
for (const run of data.runs) {
  const before = data.runs.filter((other) => other.role === run.role).indexOf(run);
  styles[run.name] = { color: COLOURS[run.role], dash: DASHES[before % DASHES.length], width: run.role === 'baseline' ? 4 : 2 };
}

function draw(where, series, x, y) {
  const page = getComputedStyle(document.documentElement);
  const ink = page.getPropertyValue('--ink');
  const line = page.getPropertyValue('--line');
  const axis = (settings) => ({ gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...settings });
  const counts = {};
  const traces = series.map((curve) => {
    const count = (counts[curve.run] = (counts[curve.run] ?? -1) + 1);
    const style = styles[curve.run];
    return {
      x: curve.x, y: curve.y, name: curve.name, mode: curve.x.length === 1 ? 'markers' : 'lines',
      line: count ? { ...style, dash: DASHES[count % DASHES.length] } : style, marker: { color: style.color, size: 9 },
    };
  });
  Plotly.react(where, traces, {
    xaxis: axis(x), yaxis: axis(y), hovermode: 'x unified', dragmode, showlegend: true,
    legend: { orientation: 'h', y: 1.02, yanchor: 'bottom' }, margin: { l: 50, r: 10, t: 10, b: 40 },
    paper_bgcolor: 'transparent', plot_bgcolor: 'transparent', font: { color: ink, family: 'system-ui, sans-serif', size: 13 },
    hoverlabel: { namelength: -1, bgcolor: page.getPropertyValue('--raised'), font: { color: ink } },
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}

function drawChart(where, chart) {
  const x = { title: { text: chart.axis } };
  draw(where, chart.series, x, { title: { text: chart.unit }, ...(chart.log ? { type: 'log', dtick: 'D2' } : { rangemode: 'tozero' }), exponentformat: 'none' });
}

function drawPrecision() {
  const chosen = data.curves[document.getElementById('class').selectedIndex];
  const series = chosen.series.map((curve) => ({
    run: curve.run, x: curve.recall, y: curve.precision,
    name: curve.run + (curve.ap === null ? '' : ` (AP ${(100 * curve.ap).toFixed(1)})`),
  }));
  const range = [0, 1.02];
  draw('pr', series, { title: { text: 'recall' }, range, hoverformat: '.2f' }, { title: { text: 'precision' }, range, hoverformat: '.2f' });
}

function drawTerm() {
  drawChart('terms', data.terms[document.getElementById('term').selectedIndex]);
}

function drawAll() {
  if (data.curves.length) drawPrecision();
  for (const where of document.querySelectorAll('[data-chart]')) drawChart(where, data.charts[where.dataset.chart]);
  if (data.charts.length) drawTerm();
}

drawAll();
dark.addEventListener('change', drawAll);
document.getElementById('class')?.addEventListener('change', drawPrecision);
document.getElementById('term')?.addEventListener('change', drawTerm);

for (const table of document.querySelectorAll('table.sortable')) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.firstElementChild.addEventListener('click', () => {
    // The first press sorts names up and numbers down; unknown values are always at the end.
    const falls = heading.ariaSort === 'none' ? column > 0 : heading.ariaSort === 'ascending';
    for (const other of headings) other.ariaSort = 'none';
    heading.ariaSort = falls ? 'descending' : 'ascending';
    const value = (row) => row.cells[column].dataset.value;
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === '' || y === '') return (x === '') - (y === '');
      return (column ? x - y : x.localeCompare(y)) * (falls ? -1 : 1);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }));
}
