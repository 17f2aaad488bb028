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
const wireRounds = 3_000
/** It takes milliseconds a time. */
const wildcardRounds = 200

/** Whether each review is put as a dry run first, untimed: what it touches is in the processor's caches then, whatever the size. */
const rehearse = process.argv.includes('--rehearse')

/** p99 in milliseconds, and how much more the largest cluster may take than the smallest. */
const targets = { mutate: 2, validate: 1, growth: 1.1 }

const webhooks = { mutate, validate }

/** Puts one review; resolves to the body of its answer. */
type Put = (webhook: Case['webhook'], body: string) => Promise<string>

/** How long one answer takes, in milliseconds. Throws where it is not the expected one. */
const time = async ({ name, webhook, expected, prepare }: Case, round: number, put: Put): Promise<number> => {
  const { body, restore } = await prepare(round)
  if (rehearse) await put(webhook, body.replace('"dryRun":false', '"dryRun":true'))
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

/**
 * One review of each lane a round, so that whatever disturbs disturbs all alike. The lanes of a group are compared: each is the first
 * as often as the others, since the first one finds the processor's caches full of something else.
 */
const run = async (groups: readonly (readonly Lane[])[], warmUp: number, rounds: number): Promise<void> => {
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const lanes of groups) {
      for (let turn = 0; turn < lanes.length; turn++) {
        const { review, put, samples } = lanes[(round + turn) % lanes.length] as Lane
        const taken = await time(review, round, put)
        if (round >= warmUp) samples.push(taken)
      }
    }
    await setImmediate()
  }
}

/** The rows of one kind of review on clusters of growing size, and what they are to be. */
const report = (clusters: readonly ClusterInMemory[], lanes: readonly Lane[]) => {
  const summaries = lanes.map(({ samples }) => summarize(samples))
  const [first, last] = [summaries[0], summaries.at(-1)] as [Summary, Summary]
  const { name, webhook } = (lanes[0] as Lane).review
  const [smallest, largest] = [clusters[0]?.services, clusters.at(-1)?.services]
  return {
    rows: summaries.map((summary, index) => [
      index === 0 ? name : '',
      String(clusters[index]?.services),
      ...columns(summary),
    ]),
    verdicts: [
      target(`${name}: p99 with ${largest} Services`, last.p99, targets[webhook], ' ms'),
      target(`${name}: p50 with ${largest} to p50 with ${smallest}`, last.p50 / first.p50, targets.growth, ''),
    ],
  }
}

const benchInProcess = async (clusters: readonly ClusterInMemory[]): Promise<void> => {
  const [smallest] = clusters
  const lane = (cluster: ClusterInMemory, review: Case): Lane => ({ review, put: inProcess(cluster), samples: [] })
  const byCluster = clusters.map((cluster) => cluster.cases.map((review) => lane(cluster, review)))
  const byCase = (byCluster[0] ?? []).map((_, index) => byCluster.map((lanes) => lanes[index] as Lane))
  const wildcards = clusters.map((cluster) => lane(cluster, cluster.wildcard))
  // The same work whatever is in view: what its p99 has over its p50 is the machine's.
  const baseline: Lane = {
    review: { ...((smallest as ClusterInMemory).cases.at(-1) as Case), expected: '' },
    put: async (_webhook, body) => JSON.stringify(JSON.parse(body)),
    samples: [],
  }
  await run([[baseline], ...byCase], warmUpRounds, rounds)
  // By themselves: they leave so much garbage that it would be collected in the time of the others.
  await run([wildcards], wildcardRounds, wildcardRounds)
  const reports = [...byCase, wildcards].map((lanes) => report(clusters, lanes))
  const header = ['in process, milliseconds', 'Services', 'p50', 'p99', 'max', 'per second']
  const rows = reports.flatMap(({ rows }) => rows)
  print(
    table(header, [
      ['baseline: a VirtualService parsed and written', '', ...columns(summarize(baseline.samples))],
      ...rows,
    ]),
  )
  print('')
  for (const verdict of reports.flatMap(({ verdicts }) => verdicts)) print(verdict)
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
print(`\n${wireRounds} samples of each line, one request at a time, ${sizes[1]} Services in view\n`)
await benchOverLoopback(clusters[1] as ClusterInMemory)
for (const cluster of clusters) cluster.assertUnchanged()
