import type { Circumstances } from '../../src/rules/judge.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import type { ClusterView } from '../../src/view/view.ts'

/** What an object of a cluster is judged under: applied by itself, and by the runbook, unless `overrides` say otherwise. */
export const circumstancesIn = (view: ClusterView, overrides: Partial<Circumstances> = {}): Circumstances => ({
  view,
  policy: defaultPolicy,
  dryRun: false,
  batch: false,
  claimed: false,
  now: new Date('2026-03-01T12:00:00Z'),
  ...overrides,
})
