import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { formatHostPort } from '../../src/server/host-port.ts'
import { startMeshvip } from '../support/meshvip-process.ts'
import type { Balancer } from '../testbed/balancer.ts'
import { apply } from '../testbed/webhook.ts'
import { type Answer, type Api, type Method, openApi } from './api.ts'
import { type Cluster, claims, goodPorts, makeNamespace, serviceManifest, testOnCluster, until } from './cluster.ts'
import { type Instance, startInstances } from './instances.ts'

const namespace = 'shop'
const services = `/api/v1/namespaces/${namespace}/services`
const virtualServices = `/apis/networking.istio.io/v1/namespaces/${namespace}/virtualservices`

/** Parallel ones; of one host the API server keeps 25 idle connections (client-go transport/cache.go, idleConnsPerHost). */
const writers = 12

/** Seconds for which an instance answers after SIGTERM, and those that it may take beyond them to end. */
const [drain, slack] = [5, 3]

/** What the API server has counted of its webhooks so far. */
const webhookCounts = async (api: Api): Promise<Record<string, number>> => {
  const { text } = await api.send('GET', '/metrics')
  const sum = (metric: RegExp) =>
    text
      .split('\n')
      .filter((line) => metric.test(line))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
  return {
    calls: sum(/^apiserver_admission_webhook_request_total\{/),
    failedOpen: sum(/^apiserver_admission_webhook_fail_open_count\{/),
    failedClosed: sum(/^apiserver_admission_webhook_rejection_count\{.*error_type="(?!no_error)/),
    retries: sum(/^rest_client_request_retries_total\{.*verb="POST"/),
  }
}

const increase = (after: Record<string, number>, before: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]))

const addressesIn = ({ spec }: { spec: { externalIPs?: string[] } }): string[] => spec.externalIPs ?? []

const isAdmitted = ({ status }: Answer): boolean => status >= 200 && status < 300

/** What the answers to a request may be. */
const expectations = {
  admission: isAdmitted,
  address: (answer: Answer) => isAdmitted(answer) && addressesIn(JSON.parse(answer.text)).length === 1,
  // Advice fails open: that nobody was asked shows by the warning that is missing.
  warning: (answer: Answer) => isAdmitted(answer) && answer.warning.includes('service-port-name'),
  refusal: ({ status, text }: Answer) => status === 403 && text.includes('Fix: '),
}

type Request = { method: Method; path: string; body?: object; expected: keyof typeof expectations }

const virtualService = (name: string, port: number) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { namespace, name },
  spec: {
    hosts: [`${name}.${namespace}.svc.cluster.local`],
    gateways: ['mesh'],
    http: [
      {
        match: [{ port }],
        route: [{ destination: { host: `backend.${namespace}.svc.cluster.local`, port: { number: 3111 } } }],
      },
    ],
  },
})

/** All that a team does with a virtual host, mistakes among it, until it stands. */
const story = (name: string): Request[] => {
  const host = serviceManifest(namespace, name, { ports: goodPorts })
  const twoPorts = { spec: { ports: [...goodPorts, { name: 'http-more', port: 3112 }] } }
  const port80 = serviceManifest(namespace, `${name}-bad`, { ports: [{ name: 'http', port: 80 }] })
  const unnamed = { selector: { app: 'backend' }, ports: [{ name: 'web', port: 3111 }] }
  const ordinary = serviceManifest(namespace, `${name}-ordinary`, unnamed)
  return [
    { method: 'POST', path: `${services}?dryRun=All`, body: host, expected: 'address' },
    { method: 'POST', path: services, body: host, expected: 'address' },
    { method: 'POST', path: `${virtualServices}?dryRun=All`, body: virtualService(name, 3111), expected: 'admission' },
    { method: 'POST', path: virtualServices, body: virtualService(name, 3111), expected: 'admission' },
    { method: 'PATCH', path: `${services}/${name}`, body: twoPorts, expected: 'address' },
    { method: 'PATCH', path: `${virtualServices}/${name}`, body: virtualService(name, 9), expected: 'refusal' },
    { method: 'PATCH', path: `${virtualServices}/${name}`, body: virtualService(name, 3112), expected: 'admission' },
    { method: 'POST', path: services, body: port80, expected: 'refusal' },
    { method: 'POST', path: services, body: ordinary, expected: 'warning' },
    { method: 'DELETE', path: `${services}/${name}-ordinary`, expected: 'admission' },
    { method: 'DELETE', path: `${virtualServices}/${name}`, expected: 'admission' },
    { method: 'DELETE', path: `${services}/${name}`, expected: 'admission' },
    { method: 'POST', path: services, body: host, expected: 'address' },
  ]
}

/** Why a request failed, without what differs from one to the next. */
const reasonOf = ({ status, text }: Answer): string => {
  const message = text.startsWith('{') ? String(JSON.parse(text).message ?? 'not as expected') : text
  return `${status} ${message.replaceAll(/127\.0\.0\.1:\d+|\w+-\d+-\d+(-\w+)?/g, '*')}`
}

type Call = { at: number; milliseconds: number; failure?: string }

/** Times of the clock, in milliseconds. */
type Period = { from: number; to: number }

/** Writers that send one story after the other, each over a connection of its own, until they are told to stop. */
class Load {
  /** What must not happen, whatever fails: a mistake is admitted, or a virtual host without exactly one address. */
  readonly breaches: string[] = []
  readonly #calls: Call[] = []
  readonly #api: Api
  readonly #ended: Promise<unknown>
  #stopping = false

  constructor(api: Api, name: string) {
    this.#api = api
    this.#ended = Promise.all(Array.from({ length: writers }, (_, index) => this.#write(`${name}-${index}`)))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#ended
  }

  /** The requests that were sent in this time. */
  calls({ from = 0, to = Number.POSITIVE_INFINITY }: Partial<Period> = {}): Call[] {
    return this.#calls.filter(({ at }) => at >= from && at < to)
  }

  async #write(writer: string): Promise<void> {
    for (let round = 0; !this.#stopping; round++) {
      for (const request of story(`${writer}-${round}`)) {
        if (await this.#send(request)) continue
        // Whoever fails looks up, and begins anew with another name.
        await sleep(100)
        break
      }
    }
  }

  async #send({ method, path, body, expected }: Request): Promise<boolean> {
    const [at, started] = [Date.now(), performance.now()]
    const answer = await this.#api.send(method, path, body).catch((error) => ({
      status: 0,
      text: String(error),
      warning: '',
    }))
    const call = { at, milliseconds: performance.now() - started }
    const isGood = expectations[expected](answer)
    const failure = `${method} ${path.startsWith(services) ? 'Service' : 'VirtualService'}: ${reasonOf(answer)}`
    this.#calls.push(isGood ? call : { ...call, failure })
    if (!isGood && isAdmitted(answer) && expected !== 'warning') this.breaches.push(`no ${expected}: ${answer.text}`)
    return isGood
  }
}

/** What failed, and how often. */
const failuresOf = (calls: Call[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { failure } of calls) if (failure !== undefined) counts[failure] = (counts[failure] ?? 0) + 1
  return counts
}

/** How many requests there were, and how long they took. */
const figures = (calls: Call[]): string => {
  const sorted = calls.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)
  const quantile = (q: number) => Math.round(sorted[Math.floor(q * (sorted.length - 1))] ?? 0)
  const seconds = (Math.max(...calls.map(({ at }) => at)) - Math.min(...calls.map(({ at }) => at))) / 1000
  return `${calls.length} requests, ${Math.round(calls.length / seconds)} a second; p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, max ${quantile(1)} ms`
}

type Stage = { cluster: Cluster; api: Api; instances: [Instance, Instance]; balancer: Balancer }

/** Two instances behind a balancer. */
const setStage = async (t: Test, cluster: Cluster): Promise<Stage> => {
  const { instances, balancer } = await startInstances(t, cluster, 2, ({ listen, metricsListen, tls }) =>
    startMeshvip(t, [
      ...['serve', '--kubeconfig', cluster.kubeconfig, '--drain', `${drain}`],
      ...['--tls-cert', tls.cert, '--tls-key', tls.key],
      ...['--listen', formatHostPort(listen), '--metrics-listen', formatHostPort(metricsListen)],
    ]),
  )
  const api = openApi(cluster)
  t.teardown(() => api.close())
  await makeNamespace(cluster, namespace)
  await apply(
    cluster,
    JSON.stringify(serviceManifest(namespace, 'backend', { selector: { app: 'b' }, ports: goodPorts })),
  )
  return { cluster, api, instances: instances as [Instance, Instance], balancer }
}

/** Asserts that every virtual host has one address, which nobody else has and which is claimed for it. */
const allIsWell = async (t: Test, { cluster, api }: Stage): Promise<void> => {
  type Item = { metadata: { name: string }; spec: { selector?: object; externalIPs?: string[] } }
  const { items } = JSON.parse((await api.send('GET', services)).text) as { items: Item[] }
  const hosts = items.filter(({ spec }) => spec.selector === undefined)
  t.strictSame(
    hosts.filter((host) => addressesIn(host).length !== 1).map(({ metadata }) => metadata.name),
    [],
    `each of ${hosts.length} virtual hosts has one address`,
  )
  t.equal(new Set(hosts.flatMap(addressesIn)).size, hosts.length, 'none of them is had twice')
  const claimed = new Set(await claims(cluster))
  const unclaimed = hosts.filter((host) => !claimed.has(`${addressesIn(host)[0]} ${namespace}/${host.metadata.name}`))
  t.strictSame(unclaimed, [], 'all of them are claimed')
}

/** Asks an instance to end; resolves with the time of that, when it has ended. */
const terminate = async (t: Test, { running }: Instance): Promise<Period> => {
  const from = Date.now()
  running.kill('SIGTERM')
  const ending = await running.ended()
  const to = Date.now()
  t.strictSame(ending, { code: 0, signal: null }, 'it ends well')
  t.equal(running.stderr, '', 'without complaint')
  t.ok(to - from < 1000 * (drain + slack), `in ${to - from} ms`)
  return { from, to }
}

await testOnCluster('instances that end under load', async (t, cluster) => {
  const stage = await setStage(t, cluster)
  const { api, instances, balancer } = stage
  const [a, b] = instances

  /** Starts an instance in the place of one that ended; resolves when it is sent requests. */
  const replace = async (instance: Instance) => {
    await instance.start()
    await balancer.until(instance, true)
  }

  await t.test('a rolling replacement fails no request', async (t) => {
    const before = await webhookCounts(api)
    const load = new Load(api, 'rolling')
    const drains: Period[] = []
    await sleep(2_000)
    for (const instance of [a, b, a, b]) {
      const period = await terminate(t, instance)
      const [all, late] = [instance.answered(), instance.answered(period.from)]
      t.ok(late.length > 0, `it answered ${all.length} reviews, ${late.length} of them after it was asked to end`)
      drains.push(period)
      await replace(instance)
    }
    await sleep(1_000)
    await load.stop()
    const counts = increase(await webhookCounts(api), before)
    t.comment(`all: ${figures(load.calls())}`)
    t.comment(`sent while one ends: ${figures(drains.flatMap((period) => load.calls(period)))}`)
    t.comment(`counted by the API server: ${JSON.stringify(counts)}`)
    t.strictSame(failuresOf(load.calls()), {}, 'no request fails')
    t.match(counts, { failedOpen: 0, failedClosed: 0 }, 'nor does one unnoticed')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    await allIsWell(t, stage)
  })

  await t.test('an instance that crashes costs what it is asked until it is forgotten, and nothing more', async (t) => {
    const [from, load] = [Date.now(), new Load(api, 'crash')]
    await sleep(2_000)
    // Kept connections may all lead to one of the two.
    const [victim] = instances.toSorted((x, y) => y.answered(from).length - x.answered(from).length) as [Instance]
    t.ok(victim.answered(from).length > 0, 'it is in use')
    victim.running.kill('SIGKILL')
    await victim.running.ended()
    await balancer.until(victim, false)
    const forgotten = Date.now()
    await sleep(3_000)
    await replace(victim)
    await sleep(1_000)
    await load.stop()
    const lost = load.calls().filter(({ failure }) => failure !== undefined)
    t.comment(`all: ${figures(load.calls())}; ${lost.length} failed`)
    t.comment(`failed: ${JSON.stringify(failuresOf(lost), undefined, 2)}`)
    t.strictSame(failuresOf(load.calls({ from: forgotten })), {}, 'the other one answers all')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    await allIsWell(t, stage)
  })

  await t.test('while all are gone what must not pass is stopped, and then all is as before', async (t) => {
    const before = await webhookCounts(api)
    const load = new Load(api, 'outage')
    await sleep(1_000)
    const ending = Promise.all(instances.map((instance) => terminate(t, instance)))
    const outOfRotation = instances.map((instance) => balancer.until(instance, false))
    // It is seen a moment after the balancer began to turn requests away.
    await Promise.race(outOfRotation)
    const forgotten = Date.now() - 500
    await Promise.all(outOfRotation)
    await ending
    const gone = Date.now()
    const isStopped = await until(async () => load.calls({ from: gone }).some(({ failure }) => failure !== undefined))
    t.ok(isStopped, 'what is sent while they are gone fails')
    const wanted = Date.now()
    await Promise.all(instances.map(replace))
    const back = Date.now()
    await sleep(2_000)
    await load.stop()
    const answered = load.calls().filter(({ at, milliseconds }) => at + milliseconds < forgotten)
    const outage = load.calls({ from: gone, to: wanted })
    t.comment(`all: ${figures(load.calls())}; ${answered.length} before the outage, ${outage.length} in it`)
    t.strictSame(failuresOf(answered), {}, 'as long as they are sent requests they answer')
    for (const failure of Object.keys(failuresOf(outage))) t.match(failure, / 500 .*failed calling webhook/)
    t.strictSame(failuresOf(load.calls({ from: back })), {}, 'when they are back all is admitted')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    // This is how both would show in the counts of a replacement.
    const { failedOpen = 0, failedClosed = 0 } = increase(await webhookCounts(api), before)
    t.ok(failedOpen > 0 && failedClosed > 0, `the API server notices: ${failedOpen} open, ${failedClosed} closed`)
    await allIsWell(t, stage)
  })
})
