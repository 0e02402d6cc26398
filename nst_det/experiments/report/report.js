'use strict';
const data = JSON.parse(document.getElementById('report-data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
// On a touch screen a finger that is put on a chart scrolls the page, and does not zoom.
const dragmode = matchMedia('(pointer: coarse)').matches ? false : 'zoom';
const DASHES = ['solid', 'dash', 'dot', 'dashdot'];
const COLOURS = { teacher: '#3987d0', baseline: '#8a8f98', distilled: '#e0662f' };

// A run has the same colour in every chart, and further runs of its role another dash. The baseline
// is broad, to be seen below a distilled run that goes the same way.
const styles = {};
for (const run of data.runs) {
  const before = data.runs.filter((one) => one.role === run.role).indexOf(run);
  styles[run.name] = { color: COLOURS[run.role], dash: DASHES[before % DASHES.length], width: run.role === 'baseline' ? 4 : 2 };
}

function draw(where, series, x, y) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue('--ink');
  const line = style.getPropertyValue('--line');
  const axis = (settings) => ({ gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...settings });
  const counts = {};
  const traces = series.map((one) => {
    const count = (counts[one.run] = (counts[one.run] ?? -1) + 1);
    const own = styles[one.run];
    return {
      x: one.x, y: one.y, name: one.name, mode: one.x.length === 1 ? 'markers' : 'lines',
      line: count ? { ...own, dash: DASHES[count % DASHES.length] } : own, marker: { color: own.color, size: 9 },
    };
  });
  Plotly.react(where, traces, {
    xaxis: axis(x), yaxis: axis(y), hovermode: 'x unified', dragmode, showlegend: true,
    legend: { orientation: 'h', y: 1.02, yanchor: 'bottom' }, margin: { l: 50, r: 10, t: 10, b: 40 },
    paper_bgcolor: 'transparent', plot_bgcolor: 'transparent', font: { color: ink, family: 'system-ui, sans-serif', size: 13 },
    hoverlabel: { namelength: -1, bgcolor: style.getPropertyValue('--raised'), font: { color: ink } },
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}

function drawChart(where, chart) {
  const x = { title: { text: 'iteration' } };
  draw(where, chart.series, x, { title: { text: chart.unit }, ...(chart.log ? { type: 'log', dtick: 'D2' } : { rangemode: 'tozero' }), exponentformat: 'none' });
}

function drawPrecision() {
  const chosen = data.curves[document.getElementById('class').selectedIndex];
  const series = chosen.series.map((one) => ({
    run: one.run, x: one.recall, y: one.precision,
    name: one.run + (one.ap === null ? '' : ` (AP ${(100 * one.ap).toFixed(1)})`),
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
    // Names rise first and numbers fall; what is unknown comes last either way.
    const falls = heading.ariaSort === 'none' ? column > 0 : heading.ariaSort === 'ascending';
    for (const one of headings) one.ariaSort = 'none';
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
