/**
 * What an admission takes, by the size of the cluster in view: `npm run bench`. First in process, from the body of a review to that of
 * its answer; then over loopback HTTPS, beside a server that does nothing but send the body back. Exits with 1 for wrong answers
 * only, never for slow ones.
 */
import { availableParallelism } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { Client } from 'undici'
import { mutate } from '../src/admission/mutate.ts'
import { formatReview, parseReview } from '../src/admission/review.ts'
import { validate } from '../src/admission/validate.ts'
import { makeServingCertificate } from '../src/certificates/self-made.ts'
import { defaultPolicy } from '../src/rules/policy.ts'
import { defaultCapacity } from '../src/server/capacity.ts'
import { createMetrics } from '../src/server/metrics.ts'
import { bodyLimit, createWebhookServer } from '../src/server/webhook.ts'
import { under } from '../test/support/backends.ts'
import { type Case, type ClusterInMemory, clusterInMemory } from './reviews.ts'
import { print, type Summary, summarize, table, target } from './statistics.ts'

const sizes = [500, 5_000, 50_000]
const warmUpRounds = 1_000
const rounds = 5_000
/** With empty caches. To empty them takes longer than the review. */
const coldRounds = 1_000
const wireRounds = 3_000
/** It takes milliseconds a time. */
const wildcardRounds = 200

/** 64 MiB, which is more than the caches of a processor hold. */
const elsewhere = new Float64Array(2 ** 23)
const numbersPerCacheLine = 8

/**
 * Leaves nothing of a cluster in the caches, of whatever size it is. So it is between two reviews of a server, with other processes on
 * its machine; and a cluster of 500 that stays in the caches says nothing of how one of 50,000 would do by its size alone.
 */
const emptyCaches = (): void => {
  for (let index = 0; index < elsewhere.length; index += numbersPerCacheLine) elsewhere[index] = index
}

/** p99 in milliseconds, and how much more the largest cluster may take than the smallest. */
const targets = { mutate: 2, validate: 1, growth: 1.1 }

const webhooks = { mutate, validate }

/** Puts one review; resolves to the body of its answer. */
type Put = (webhook: Case['webhook'], body: string) => Promise<string>

/** How long one answer takes, in milliseconds. Throws where it is not the expected one. */
const time = async (
  { name, webhook, expected, prepare }: Case,
  round: number,
  put: Put,
  before: () => void,
): Promise<number> => {
  const { body, restore } = await prepare(round)
  before()
  const started = performance.now()
  const answer = await put(webhook, body)
  const taken = performance.now() - started
  restore()
  if (!answer.includes(expected)) throw new Error(`${name}: ${answer}`)
  return taken
}

/** All that the server does with a body but for HTTP, log and metrics. */
const inProcess =
  ({ backend }: ClusterInMemory): Put =>
  async (webhook, body) => {
    const parsed = parseReview(body)
    if ('problem' in parsed) throw new Error(parsed.problem)
    return JSON.stringify(formatReview(parsed.request.uid, await webhooks[webhook](parsed.request, backend, under())))
  }

const milliseconds = (value: number): string => value.toFixed(3)

const columns = ({ p50, p99, max, perSecond }: Summary): string[] => [
  milliseconds(p50),
  milliseconds(p99),
  milliseconds(max),
  perSecond.toFixed(0),
]

/** One kind of review on one size of cluster. */
type Lane = { review: Case; put: Put; samples: number[] }

/** The lanes in an order that differs from round to round: what comes again and again, such as a collection of garbage, meets all. */
const shuffled = (lanes: readonly Lane[]): Lane[] =>
  lanes
    .map((lane) => ({ lane, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ lane }) => lane)

/** One review of each lane a round, so that whatever disturbs disturbs all alike. `before` comes before each. */
const run = async (
  groups: readonly (readonly Lane[])[],
  warmUp: number,
  rounds: number,
  before: () => void = () => {},
): Promise<void> => {
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const lanes of groups) {
      for (const { review, put, samples } of shuffled(lanes)) {
        const taken = await time(review, round, put, before)
        if (round >= warmUp) samples.push(taken)
      }
    }
    await setImmediate()
  }
}

const summaries = (lanes: readonly Lane[]): Summary[] => lanes.map(({ samples }) => summarize(samples))

const nameOf = (lanes: readonly Lane[]): string => (lanes[0] as Lane).review.name

/** Lanes for each kind of review, one for each size of cluster. */
const lanesFor = (clusters: readonly ClusterInMemory[]): { byCase: Lane[][]; wildcards: Lane[] } => {
  const lane = (cluster: ClusterInMemory, review: Case): Lane => ({ review, put: inProcess(cluster), samples: [] })
  const byCluster = clusters.map((cluster) => cluster.cases.map((review) => lane(cluster, review)))
  const byCase = (byCluster[0] ?? []).map((_, index) => byCluster.map((lanes) => lanes[index] as Lane))
  return { byCase, wildcards: clusters.map((cluster) => lane(cluster, cluster.wildcard)) }
}

const benchInProcess = async (clusters: readonly ClusterInMemory[]): Promise<void> => {
  const { byCase, wildcards } = lanesFor(clusters)
  // The same work whatever is in view: what its p99 has over its p50 is the machine's.
  const baseline: Lane = {
    review: { ...((clusters[0] as ClusterInMemory).cases.at(-1) as Case), expected: '' },
    put: async (_webhook, body) => JSON.stringify(JSON.parse(body)),
    samples: [],
  }
  await run([[baseline], ...byCase], warmUpRounds, rounds)
  // By themselves: they leave so much garbage that it would be collected in the time of the others.
  await run([wildcards], wildcardRounds, wildcardRounds)
  const groups = [...byCase, wildcards]
  const rows = groups.flatMap((lanes) =>
    summaries(lanes).map((summary, index) => [
      index === 0 ? nameOf(lanes) : '',
      String(clusters[index]?.services),
      ...columns(summary),
    ]),
  )
  print(
    table(
      ['in process, milliseconds', 'Services', 'p50', 'p99', 'max', 'per second'],
      [['baseline: a VirtualService parsed and written', '', ...columns(summarize(baseline.samples))], ...rows],
    ),
  )
  print('')
  for (const lanes of groups) {
    const { p99 } = summaries(lanes).at(-1) as Summary
    const what = `${nameOf(lanes)}: p99 with ${clusters.at(-1)?.services} Services`
    print(target(what, p99, targets[(lanes[0] as Lane).review.webhook], ' ms'))
  }
}

/** How it grows with the cluster. */
const benchGrowth = async (clusters: readonly ClusterInMemory[]): Promise<void> => {
  const { byCase, wildcards } = lanesFor(clusters)
  await run(byCase, 0, coldRounds, emptyCaches)
  await run([wildcards], 0, wildcardRounds, emptyCaches)
  const groups = [...byCase, wildcards]
  const medians = groups.map((lanes) => summaries(lanes).map(({ p50 }) => p50))
  print(
    table(
      ['caches emptied, milliseconds', ...clusters.map(({ services }) => `p50: ${services}`)],
      groups.map((lanes, index) => [nameOf(lanes), ...(medians[index] ?? []).map(milliseconds)]),
    ),
  )
  print('')
  const [smallest, largest] = [clusters[0]?.services, clusters.at(-1)?.services]
  for (const [index, lanes] of groups.entries()) {
    const [first, last] = [medians[index]?.[0], medians[index]?.at(-1)] as [number, number]
    const what = `${nameOf(lanes)}: p50 with ${largest} to p50 with ${smallest}`
    print(target(what, last / first, targets.growth, ''))
  }
}

const tlsOf = ({ cert, key }: { cert: string; key: string }) => ({ cert, key, minVersion: 'TLSv1.2' }) as const

/** What fastify, TLS and the loopback take by themselves. */
const createEcho = (tls: { cert: string; key: string }): FastifyInstance => {
  const app: FastifyInstance = Fastify({ https: tlsOf(tls), bodyLimit, keepAliveTimeout: 120_000 })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  const echo = async (request: { body: unknown }) => request.body
  app.post('/mutate', echo)
  app.post('/validate', echo)
  return app
}

const benchOverLoopback = async (cluster: ClusterInMemory): Promise<void> => {
  const tls = await makeServingCertificate(['127.0.0.1'], new Date())
  const webhook = createWebhookServer({
    backend: cluster.backend,
    policy: () => defaultPolicy,
    metrics: createMetrics(),
    logger: pino({ base: null }, { write: () => {} }),
    tls,
    state: () => 'serving',
    capacity: defaultCapacity,
  })
  const servers = [createEcho(tls), webhook]
  const closers: (() => Promise<void>)[] = servers.map((server) => () => server.close())
  try {
    const lanes = await Promise.all(
      servers.map(async (server) => {
        const client = new Client(await server.listen({ host: '127.0.0.1', port: 0 }), { connect: { ca: tls.ca } })
        closers.unshift(() => client.close())
        const put: Put = async (webhook, body) => {
          const headers = { 'content-type': 'application/json' }
          const answer = await client.request({ method: 'POST', path: `/${webhook}`, headers, body })
          return answer.body.text()
        }
        return put
      }),
    )
    const [echo, ours] = lanes as [Put, Put]
    const rows: string[][] = []
    for (const review of cluster.cases) {
      // An echo answers nothing that could be looked at.
      const pair: Lane[] = [
        { review: { ...review, expected: '' }, put: echo, samples: [] },
        { review, put: ours, samples: [] },
      ]
      await run([pair], warmUpRounds, wireRounds)
      const [alone, all] = pair.map(({ samples }) => summarize(samples)) as [Summary, Summary]
      const share = `${(100 * (1 - alone.p50 / all.p50)).toFixed(0)} %`
      rows.push([review.name, milliseconds(alone.p50), milliseconds(alone.p99), ...columns(all), share])
    }
    print(
      table(
        ['over loopback HTTPS, milliseconds', 'echo p50', 'p99', 'ours p50', 'p99', 'max', 'per second', 'our share'],
        rows,
      ),
    )
  } finally {
    for (const close of closers) await close()
  }
}

print(`Node ${process.versions.node}, ${availableParallelism()} CPUs, ${process.platform}/${process.arch}`)
const clusters = sizes.map(clusterInMemory)
print(`${rounds} samples of each line after ${warmUpRounds} to warm up; ${wildcardRounds} of the wildcard\n`)
await benchInProcess(clusters)
print(
  `\n${coldRounds} samples of each line, the processor's caches emptied before each; ${wildcardRounds} of the wildcard\n`,
)
await benchGrowth(clusters)
print(`\n${wireRounds} samples of each line, one request at a time, ${sizes[1]} Services in view\n`)
await benchOverLoopback(clusters[1] as ClusterInMemory)
for (const cluster of clusters) cluster.assertUnchanged()
