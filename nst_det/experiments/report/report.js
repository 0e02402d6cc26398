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
    const style = styles[curve.run] ?? { color: page.getPropertyValue('--soft'), dash: 'dot', width: 1 };
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

function drawCalibration() {
  const series = data.calibration.map((curve) => ({
    run: curve.run, x: curve.scores, y: curve.precisions,
    name: curve.run + (curve.error === null ? '' : ` (error ${(100 * curve.error).toFixed(1)})`),
  }));
  const range = [0, 1.02];
  draw('calibration', [{ run: '', name: 'score = precision', x: [0, 1], y: [0, 1] }, ...series],
    { title: { text: 'score' }, range, hoverformat: '.2f' }, { title: { text: 'precision' }, range, hoverformat: '.2f' });
}

// Charts are drawn one after another, so that the page can be read and used before the last.
function drawAll() {
  const todo = [];
  if (data.curves.length) todo.push(drawPrecision);
  if (data.calibration.length) todo.push(drawCalibration);
  for (const where of document.querySelectorAll('[data-chart]')) todo.push(() => drawChart(where, data.charts[where.dataset.chart]));
  if (data.charts.length) todo.push(drawTerm);
  const next = () => {
    todo.shift()?.();
    if (todo.length) setTimeout(next);
  };
  setTimeout(next);
}

// Plotly follows this script in the page, so that everything else is there before it.
addEventListener('DOMContentLoaded', drawAll);
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

// Tables: the one that is chosen, and each as CSV.

document.getElementById('by-class')?.addEventListener('change', (event) => {
  for (const choice of document.querySelectorAll('.choice')) choice.hidden = choice.id !== event.target.value;
});

function drawConfusion() {
  const matrix = data.confusion.matrices[document.getElementById('confusion-run').value];
  const names = [...data.confusion.classes, 'nothing'];
  const table = document.getElementById('confusion');
  const cell = (row, tag, text) => { const made = row.appendChild(document.createElement(tag)); made.textContent = text; return made; };
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  cell(head, 'td', 'object ↓ detected →');
  for (const name of names) cell(head, 'th', name).scope = 'col';
  const body = table.createTBody();
  matrix.forEach((counts, i) => {
    const row = body.insertRow();
    cell(row, 'th', names[i]).scope = 'row';
    const total = counts.reduce((sum, count) => sum + count, 0);
    counts.forEach((count, j) => {
      const made = cell(row, 'td', i === names.length - 1 && j === i ? '' : count);
      if (count) {
        made.className = i === j ? 'hit' : 'miss';
        made.style.setProperty('--share', count / total);
      }
    });
  });
}

if (document.getElementById('confusion')) {
  drawConfusion();
  document.getElementById('confusion-run').addEventListener('change', drawConfusion);
}

// A spreadsheet would run a text that begins like a formula.
const quote = (text) => `"${(/^[=+@\t\r-]/.test(text) && isNaN(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
for (const button of document.querySelectorAll('.csv')) {
  button.addEventListener('click', () => {
    const rows = [...document.getElementById(button.dataset.table).rows];
    const lines = rows.map((row) => [...row.cells].map((cell) => quote(cell.dataset.value ?? cell.textContent.trim())).join(','));
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([`\ufeff${lines.join('\r\n')}\r\n`], { type: 'text/csv' }));
    link.download = button.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

// The test images, a page of them at a time.

const PER_PAGE = 12;
const gallery = data.gallery;
if (gallery) {
  const pictures = JSON.parse(document.getElementById('report-pictures').textContent);
  gallery.images.forEach((image, i) => { image.picture = pictures[i]; });
  const control = (id) => document.getElementById(id);
  let shown = [];
  let first = 0;

  // Scores fall, so that a search ends at the first that is too low.
  const count = (found, threshold) => {
    const end = found.scores.findIndex((score) => score < threshold);
    return end < 0 ? found.scores.length : end;
  };
  const f1 = (image, run, threshold) => {
    const { right } = image.found[run];
    let good = 0;
    let counted = 0;
    for (let i = count(image.found[run], threshold) - 1; i >= 0; i -= 1) {
      good += right[i] === 1;
      counted += right[i] !== -1;
    }
    const total = image.truth.labels.length + counted;
    return total ? (2 * good) / total : 1;
  };
  const percent = (value, signed) => {
    const text = (100 * value).toFixed(1);
    if (Number(text) === 0) return '0.0';
    return (signed && value > 0 ? '+' : '') + text.replace('-', '−');
  };
  const compared = gallery.baseline && gallery.distilled;
  const judged = gallery.distilled ?? gallery.baseline ?? gallery.runs.at(-1);
  const hasClass = (image, label, threshold) => image.truth.labels.includes(label)
    || gallery.runs.some((run) => image.found[run].labels.slice(0, count(image.found[run], threshold)).includes(label));

  const choose = () => {
    const threshold = Number(control('score').value);
    const text = control('find').value.trim().toLowerCase();
    const label = control('gallery-class').value;
    const change = control('change')?.value ?? '';
    shown = gallery.images.filter((image) => {
      if (text && !image.name.toLowerCase().includes(text)) return false;
      if (label !== '' && !hasClass(image, Number(label), threshold)) return false;
      image.f1 = f1(image, judged, threshold);
      image.change = compared ? image.f1 - f1(image, gallery.baseline, threshold) : null;
      const sign = Math.abs(image.change) < 1e-9 ? 0 : Math.sign(image.change);
      return !change || sign === { better: 1, worse: -1, same: 0 }[change];
    });
    const order = {
      gain: (a, b) => b.change - a.change, loss: (a, b) => a.change - b.change,
      low: (a, b) => a.f1 - b.f1, name: () => 0,
    }[control('order').value];
    const names = new Intl.Collator(undefined, { numeric: true });
    shown.sort((a, b) => order(a, b) || names.compare(a.name, b.name));
  };

  const svg = (tag, attributes, parent) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return parent ? parent.appendChild(made) : made;
  };

  const drawPanel = (image, title, found, number, score) => {
    const panel = document.createElement('div');
    panel.className = 'panel';
    const { width, height } = image;
    const size = Math.max(width, height);
    const picture = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img' }, panel);
    svg('image', { width, height, href: image.picture }, picture);
    const placed = [];
    const words = [];
    for (let i = 0; i < number; i += 1) {
      const [x, y, w, h] = found.boxes.slice(4 * i, 4 * i + 4);
      const name = gallery.classes[found.labels[i]];
      const value = found.scores?.[i];
      const right = found.right?.[i];
      const verdict = { 1: 'right', 0: 'wrong', '-1': 'not counted' }[right];
      const hue = Math.round((360 * found.labels[i]) / gallery.classes.length);
      const group = svg('g', { class: right === 0 ? 'wrong' : '', style: `--hue: ${hue}; --line: ${size * 0.008}px; --text: ${size * 0.06}px` }, picture);
      svg('title', {}, group).textContent = value === undefined ? name : `${name}, score ${value.toFixed(2)}: ${verdict}`;
      if (found.masks?.[i]) svg('path', { d: found.masks[i] }, group);
      svg('rect', { x, y, width: w, height: h }, group);
      // A label goes below its box if it would cover the label of another box.
      const below = placed.some((other) => !other.below && Math.abs(other.x - x) < w && Math.abs(other.y - y) < 0.2 * h);
      placed.push({ x, y, below });
      const atEnd = x > 0.6 * width;
      const place = {
        x: atEnd ? Math.min(x + w, width) - size * 0.008 : Math.max(x, 0) + size * 0.008,
        y: below ? Math.min(y + h + size * 0.055, height - size * 0.012) : Math.max(y - size * 0.012, size * 0.055),
        ...(atEnd ? { 'text-anchor': 'end' } : {}),
      };
      svg('text', place, group).textContent = value === undefined ? name : `${name} ${value.toFixed(2)}`;
      words.push(right === 0 ? `${name}, wrong` : name);
    }
    picture.setAttribute('aria-label', `${title}: ${words.join('; ') || 'nothing'}`);
    panel.appendChild(document.createElement('span')).textContent = score === null ? title : `${title}: F1 ${percent(score)}`;
    return panel;
  };

  const drawImage = (image, threshold) => {
    const figure = document.createElement('figure');
    figure.className = 'example';
    const caption = figure.appendChild(document.createElement('figcaption'));
    caption.textContent = image.name;
    if (compared) {
      caption.append(': F1 ');
      const gain = caption.appendChild(document.createElement('b'));
      gain.textContent = percent(image.change, true);
      gain.className = gain.textContent === '0.0' ? '' : image.change > 0 ? 'up' : 'down';
    }
    const panels = figure.appendChild(document.createElement('div'));
    panels.className = 'panels';
    panels.append(drawPanel(image, 'ground truth', image.truth, image.truth.labels.length, null));
    for (const run of gallery.runs) {
      const found = image.found[run];
      panels.append(drawPanel(image, run, found, count(found, threshold), f1(image, run, threshold)));
    }
    return figure;
  };

  const drawPage = () => {
    const threshold = Number(control('score').value);
    control('score-text').textContent = threshold.toFixed(2);
    const page = shown.slice(first, first + PER_PAGE);
    control('gallery').replaceChildren(...page.map((image) => drawImage(image, threshold)));
    const range = page.length ? `, ${first + 1} to ${first + page.length} of them below` : '';
    control('gallery-state').textContent = `${shown.length} of ${gallery.images.length} images${range}.`;
    control('previous').disabled = first === 0;
    control('next').disabled = first + PER_PAGE >= shown.length;
  };

  const update = () => { first = 0; choose(); drawPage(); };
  for (const id of ['score', 'find', 'gallery-class', 'change', 'order']) control(id)?.addEventListener('input', update);
  const turn = (step) => { first += step; drawPage(); document.getElementById('detections').scrollIntoView(); };
  control('previous').addEventListener('click', () => turn(-PER_PAGE));
  control('next').addEventListener('click', () => turn(PER_PAGE));
  update();
}
