import { readFile, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { quantile } from '../../bench/statistics.ts'
import type { Writers } from './workload.ts'

/** What was done to claims, as the API server's audit log has it. */
export type AuditedClaims = { made: number; conflicts: number; reused: number; collected: number }

export const auditedClaims = (events: readonly Record<string, unknown>[]): AuditedClaims => {
  const counts = new Map<string, number>()
  for (const event of events) {
    const { verb, requestURI, objectRef, responseStatus } = event as {
      verb: string
      requestURI: string
      objectRef: { resource: string }
      responseStatus?: { code: number }
    }
    if (objectRef.resource !== 'ipaddresses' || requestURI.includes('dryRun')) continue
    const what = `${verb} ${responseStatus?.code}`
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  const count = (what: string) => counts.get(what) ?? 0
  return {
    made: count('create 201'),
    conflicts: count('create 409'),
    reused: count('patch 200'),
    collected: count('delete 200'),
  }
}

export type Run = {
  seed: number
  services: number
  writers: number
  replicas: number
  /** Seconds. */
  writing: number
  collecting: number
  grace: number
  outage: number | undefined
  interferences: { kill: number; freeze: number }
  claims: AuditedClaims
  figures: Writers['figures']
}

const listed = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([what, count]) => `${count.toLocaleString('en')} ${what}`)
    .join(', ') || 'none'

export const formatReport = (run: Run): string => {
  const { figures, claims, interferences } = run
  const milliseconds = (samples: readonly number[], q: number) =>
    `${Math.round(quantile(samples, q)).toLocaleString('en')} ms`
  const rows: [what: string, value: string | number][] = [
    ['machine', `${availableParallelism()} CPUs, Node ${process.versions.node}, ${process.platform}/${process.arch}`],
    ['seed', String(run.seed)],
    ['Services, writers, instances', `${run.services}, ${run.writers}, ${run.replicas}`],
    ['seconds of writing', run.writing.toFixed(0)],
    ['instances killed, frozen', `${interferences.kill}, ${interferences.freeze}`],
    ['seconds without the API server', (run.outage ?? 0).toFixed(1)],
    ['requests of the writers', figures.requests],
    [
      'Services created',
      `${figures.created.toLocaleString('en')}, ${(figures.created / run.writing).toFixed(1)} a second`,
    ],
    ['a create that is admitted, p50, p99', [0.5, 0.99].map((q) => milliseconds(figures.creating, q)).join(', ')],
    [
      'with all that failed before it, p50, p99',
      [0.5, 0.99].map((q) => milliseconds(figures.untilCreated, q)).join(', '),
    ],
    ['denials', listed(figures.denials)],
    ['requests sent again', listed(figures.retries)],
    ['claims made, used again', `${claims.made.toLocaleString('en')}, ${claims.reused.toLocaleString('en')}`],
    ['claims lost to another', claims.conflicts],
    ['claims collected', claims.collected],
    [`seconds from the last write until all was collected (grace: ${run.grace} s)`, run.collecting.toFixed(1)],
  ]
  const lines = rows.map(([what, value]) => `| ${what} | ${value.toLocaleString('en')} |`)
  return ['| | |', '| --- | --- |', ...lines].join('\n')
}

/** Replaces what stands between the markers of a page. */
export const putBetweenMarkers = async (file: string, text: string): Promise<void> => {
  const page = await readFile(file, 'utf8')
  const markers = /(<!-- Made by `npm run test:chaos`[^\n]*-->\n)[\s\S]*(\n<!-- end -->)/
  if (!markers.test(page)) throw new Error(`${file} has no markers`)
  await writeFile(
    file,
    page.replace(markers, (_, begin, end) => `${begin}\n${text}\n${end}`),
  )
}
