// The end of a run as text, without the library that k6's own examples load from the network; with
// SUMMARY_JSON=FILE the figures as JSON too.

const SHOWN = [
  'http_req_duration{name:append}',
  'http_req_duration{name:read}',
  'http_req_duration',
  'varve_tail_latency_ms',
  'ws_connecting',
  'varve_records_appended',
  'varve_records_read',
  'http_reqs',
  'http_req_failed',
  'iterations',
  'checks',
]

export function handleSummary(data) {
  const seconds = data.state.testRunDurationMs / 1000
  const lines = [`\n  ${seconds.toFixed(1)} s\n`]
  for (const name of SHOWN) {
    if (data.metrics[name]) lines.push(`  ${pad(name, 34)} ${describe(data.metrics[name])}`)
  }
  lines.push('', '  thresholds')
  for (const name of Object.keys(data.metrics)) {
    const thresholds = data.metrics[name].thresholds || {}
    for (const rule of Object.keys(thresholds)) {
      lines.push(`    ${thresholds[rule].ok ? 'ok  ' : 'FAIL'} ${name} ${rule}`)
    }
  }
  for (const check of failedChecks(data.root_group)) {
    lines.push(`    FAIL ${check.name}: ${check.fails} of ${check.fails + check.passes}`)
  }
  const outputs = { stdout: `${lines.join('\n')}\n\n` }
  if (__ENV.SUMMARY_JSON) outputs[__ENV.SUMMARY_JSON] = JSON.stringify(data, null, 2)
  return outputs
}

function describe(metric) {
  const { values } = metric
  if (metric.type === 'trend') {
    return ['med', 'p(95)', 'p(99)', 'max']
      .map(name => `${name} ${number(values[name])}`)
      .join('  ')
  }
  if (metric.type === 'rate') return `${(values.rate * 100).toFixed(2)} %`
  if (metric.type === 'counter') return `${values.count}  ${number(values.rate)}/s`
  return `${values.value}`
}

function failedChecks(group) {
  const own = group.checks.filter(check => check.fails > 0)
  return group.groups.reduce((found, inner) => found.concat(failedChecks(inner)), own)
}

function number(value) {
  return value === undefined ? '-' : value.toFixed(2)
}

function pad(text, width) {
  return text + ' '.repeat(Math.max(0, width - text.length))
}
