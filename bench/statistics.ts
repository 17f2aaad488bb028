export const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** Of samples in milliseconds; `perSecond` is what one after another come to. */
export type Summary = { p50: number; p99: number; max: number; perSecond: number }

export const quantile = (samples: readonly number[], q: number): number => {
  const sorted = Float64Array.from(samples).sort()
  return sorted[Math.min(Math.floor(q * sorted.length), sorted.length - 1)] ?? Number.NaN
}

export const summarize = (samples: readonly number[]): Summary => ({
  p50: quantile(samples, 0.5),
  p99: quantile(samples, 0.99),
  max: quantile(samples, 1),
  perSecond: (1000 * samples.length) / samples.reduce((sum, sample) => sum + sample, 0),
})

/** A table whose first column is text and whose others are numbers. */
export const table = (header: readonly string[], rows: readonly (readonly string[])[]): string => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
    .join('\n')
}

/** `ok` or `MISSED`, and what was wanted. A time depends on the machine: a miss is told, and is no failure. */
export const target = (what: string, value: number, limit: number, unit: string): string =>
  `${value <= limit ? 'ok    ' : 'MISSED'} ${what}: ${value.toFixed(2)}${unit}, target ${limit}${unit}`
