import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type AddressRecord, usageOf } from '../vip/ledger.ts'
import type { Pool } from '../vip/pool.ts'

/** What Prometheus can ask about us. Counters that alerts rest on exist from the start, at zero. */
export type Metrics = {
  registry: Registry
  reviews: Counter<'webhook' | 'operation' | 'verdict' | 'dry_run'>
  findings: Counter<'rule' | 'action'>
  seconds: Histogram<'webhook'>
  inFlight: Gauge
  overload: Counter
  viewReads: Counter<'kind' | 'reason'>
  allocationSeconds: Histogram<'outcome'>
  allocationConflicts: Counter
  poolExhausted: Counter<'pool'>
  claimsCollected: Counter
  claimsAdopted: Counter
  failOpen: Gauge
  certificateNotAfter: Gauge<'secret'>
}

export const createMetrics = (): Metrics => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const metrics: Metrics = {
    registry,
    reviews: new Counter({
      name: 'meshvip_reviews_total',
      help: 'Admission reviews, by webhook, operation, verdict (allowed, denied, unhandled: a kind without rules that is allowed, unavailable: the API server is asked to come again, failed, unreadable) and dry run.',
      labelNames: ['webhook', 'operation', 'verdict', 'dry_run'],
      registers: [registry],
    }),
    findings: new Counter({
      name: 'meshvip_findings_total',
      help: 'Findings in validated objects, by rule and by the action that came of them.',
      labelNames: ['rule', 'action'],
      registers: [registry],
    }),
    seconds: new Histogram({
      name: 'meshvip_review_duration_seconds',
      help: 'Seconds from the arrival of a review to its answer.',
      labelNames: ['webhook'],
      // A review takes well under a millisecond of our own time; the API server waits 10 s by default, 30 s at most.
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
    inFlight: new Gauge({
      name: 'meshvip_reviews_in_flight',
      help: 'Admission reviews being answered now.',
      registers: [registry],
    }),
    overload: new Counter({
      name: 'meshvip_overload_total',
      help: 'Requests that were sent away unread, to come again, because too many were under way.',
      registers: [registry],
    }),
    viewReads: new Counter({
      name: 'meshvip_view_reads_total',
      help: 'Reads that questions about the cluster took, by kind and reason (miss: it is not in view, or must be known for certain; out-of-view: a watch is down; confirmation: of a denial; unwatched: the kind is only read).',
      labelNames: ['kind', 'reason'],
      registers: [registry],
    }),
    allocationSeconds: new Histogram({
      name: 'meshvip_allocation_duration_seconds',
      help: 'Seconds to choose and claim an address for a virtual host that had none, by outcome (allocated, exhausted: none was free).',
      labelNames: ['outcome'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
    allocationConflicts: new Counter({
      name: 'meshvip_allocation_conflicts_total',
      help: 'Addresses that were chosen and that another was faster to claim, so that the next one was tried.',
      registers: [registry],
    }),
    poolExhausted: new Counter({
      name: 'meshvip_pool_exhausted_total',
      help: 'Virtual hosts that were given no address because the pool was full, by pool; each dry run and each retry counts.',
      labelNames: ['pool'],
      registers: [registry],
    }),
    claimsCollected: new Counter({
      name: 'meshvip_claims_collected_total',
      help: 'Claims (IPAddress objects) that this replica deleted because nobody needed them.',
      registers: [registry],
    }),
    claimsAdopted: new Counter({
      name: 'meshvip_claims_adopted_total',
      help: 'Claims that this replica made for Services which had an address of a pool without one.',
      registers: [registry],
    }),
    failOpen: new Gauge({
      name: 'meshvip_fail_open',
      help: '1 on the replica that keeps the registration while something that is to fail closed does not: since it is not proved that the API server reaches the webhook, since there is no certificate to register, or since somebody deleted a configuration; 0 otherwise, and on all others.',
      registers: [registry],
    }),
    certificateNotAfter: new Gauge({
      name: 'meshvip_certificate_not_after_seconds',
      help: 'When the certificate that is served expires, in Unix time, by the Secret that it is from.',
      labelNames: ['secret'],
      registers: [registry],
    }),
  }
  for (const webhook of ['mutate', 'validate']) {
    for (const verdict of ['allowed', 'denied', 'unavailable', 'failed']) {
      for (const operation of ['CREATE', 'UPDATE']) {
        metrics.reviews.inc({ webhook, operation, verdict, dry_run: 'false' }, 0)
      }
    }
  }
  return metrics
}

/** What is told of each watched kind. */
type Watched = { kind: string; size: number; age: number; relists: number; isCurrent: boolean }

/** Adds what can be asked about the view of a live cluster. */
export const observeView = ({ registry }: Metrics, watched: readonly Watched[]): void => {
  const gauge = (name: string, help: string, measure: (of: Watched) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['kind'],
      registers: [registry],
      collect() {
        for (const one of watched) this.set({ kind: one.kind }, measure(one))
      },
    })
  gauge('meshvip_view_objects', 'Objects in view, by kind.', ({ size }) => size)
  gauge('meshvip_view_age_seconds', 'Seconds since the API server was last heard about a kind.', ({ age }) => age)
  gauge(
    'meshvip_view_current',
    '1 while every change of a kind is heard of, 0 while it is read at each question.',
    (one) => Number(one.isCurrent),
  )
  new Counter({
    name: 'meshvip_view_lists_total',
    help: 'How often a kind was listed as a whole.',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { kind, relists } of watched) this.inc({ kind }, relists)
    },
  })
}

/**
 * Adds what can be asked about the addresses of the pools; nothing while the cluster is not in view. To go through all addresses takes a
 * while, in which no review is answered: the first gauge does it for both.
 */
export const observeAddresses = (
  { registry }: Metrics,
  pools: () => readonly Pool[],
  records: () => readonly AddressRecord[] | undefined,
): void => {
  new Gauge({
    name: 'meshvip_pool_addresses',
    help: 'Addresses of a pool, by state (used: somebody has it or it is claimed, free). Their sum is what can be handed out.',
    labelNames: ['pool', 'state'],
    registers: [registry],
    collect() {
      this.reset()
      const known = records()
      for (const { pool, used, free } of known === undefined ? [] : usageOf(pools(), known)) {
        this.set({ pool: pool.cidr, state: 'used' }, used)
        this.set({ pool: pool.cidr, state: 'free' }, Number(free))
      }
      duplicates.remove()
      if (known !== undefined) duplicates.set(known.filter(({ state }) => state === 'duplicate').length)
    },
  })
  // Registered behind the other, and asked after it.
  const duplicates = new Gauge({
    name: 'meshvip_duplicate_addresses',
    help: 'Addresses of the pools that several Services, or a Service and something else, have now. `meshvip vips` shows them.',
    registers: [registry],
  })
}
