import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { apply } from '../testbed/webhook.ts'
import type { Answer, Api, Method } from './api.ts'
import { type Cluster, claims, goodPorts, makeNamespace, serviceManifest } from './cluster.ts'

const namespace = 'shop'
const services = `/api/v1/namespaces/${namespace}/services`
const virtualServices = `/apis/networking.istio.io/v1/namespaces/${namespace}/virtualservices`

/** Parallel ones; of one host the API server keeps 25 idle connections (client-go transport/cache.go, idleConnsPerHost). */
const writers = 12

/** What the API server has counted of its webhooks so far. */
export const webhookCounts = async (api: Api): Promise<Record<string, number>> => {
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

export const increase = (after: Record<string, number>, before: Record<string, number>): Record<string, number> =>
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
export type Period = { from: number; to: number }

/** Writers that send one story after the other, each over a connection of its own, until they are told to stop. */
export class Load {
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
export const failuresOf = (calls: Call[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { failure } of calls) if (failure !== undefined) counts[failure] = (counts[failure] ?? 0) + 1
  return counts
}

/** How many requests there were, and how long they took. */
export const figures = (calls: Call[]): string => {
  const sorted = calls.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)
  const quantile = (q: number) => Math.round(sorted[Math.floor(q * (sorted.length - 1))] ?? 0)
  const seconds = (Math.max(...calls.map(({ at }) => at)) - Math.min(...calls.map(({ at }) => at))) / 1000
  return `${calls.length} requests, ${Math.round(calls.length / seconds)} a second; p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, max ${quantile(1)} ms`
}

/** Makes the namespace that the load is in, with the Service that it routes to. */
export const prepareLoad = async (cluster: Cluster): Promise<void> => {
  await makeNamespace(cluster, namespace)
  await apply(
    cluster,
    JSON.stringify(serviceManifest(namespace, 'backend', { selector: { app: 'b' }, ports: goodPorts })),
  )
}

/** Asserts that every virtual host has one address, which nobody else has and which is claimed for it. */
export const allIsWell = async (t: Test, { cluster, api }: { cluster: Cluster; api: Api }): Promise<void> => {
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
