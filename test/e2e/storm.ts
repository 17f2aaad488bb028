import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import { Agent, request } from 'undici'
import { Fields } from '../../src/api/fields.ts'
import { type Kind, kinds } from '../../src/api/kinds.ts'
import type { TcpProxy } from '../testbed/tcp-proxy.ts'
import { serviceManifest } from './cluster.ts'

export type Manifest = { apiVersion: string; kind: Kind; metadata: { namespace?: string; name: string } } & object

export const ports = (...numbers: number[]) => numbers.map((port) => ({ name: `http-${port}`, port }))

export const service = (namespace: string, name: string, spec: object, labels = {}): Manifest =>
  serviceManifest(namespace, name, spec, { labels }) as unknown as Manifest

const namespace = (name: string, labels: Record<string, string>): Manifest => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels } as Manifest['metadata'],
})

const istio = (kind: Kind, namespace: string, name: string, spec: object): Manifest & { spec: object } => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { namespace, name },
  spec,
})

type Destination = { host: string; port: number; subset?: string }

/** The VirtualService of a virtual host of its name: requests to `port` go to the destination. */
export const route = (namespace: string, name: string, port: number, destination: Destination) =>
  istio('VirtualService', namespace, name, {
    hosts: [`${name}.${namespace}.svc.cluster.local`],
    gateways: ['mesh'],
    http: [{ match: [{ port }], route: [{ destination: { ...destination, port: { number: destination.port } } }] }],
  })

export const serviceEntry = (
  namespace: string,
  name: string,
  hosts: string[],
  port: number,
  addresses: string[] = [],
) =>
  istio('ServiceEntry', namespace, name, {
    hosts,
    addresses,
    ports: [{ number: port, name: 'http', protocol: 'HTTP' }],
    resolution: 'DNS',
  })

/** Milliseconds within which a request must have been answered for good, API server and view being up for some of them. */
const patience = 60_000

type Outcome = { admitted: Fields } | { denied: string }

/** A Service and a ServiceEntry that stay, each with an address of the pool, which nobody else can have. */
export const steady = ['240.240.3.1', '240.240.3.2'] as const
export const steadyObjects: readonly Manifest[] = [
  service('storm-0', 'steady', { ports: ports(3111), externalIPs: [steady[0]] }),
  serviceEntry('storm-0', 'steady', ['steady.example.com'], 443, [steady[1]]),
]

/** Applies and deletes many objects at a time, each request until it is answered on its merits. */
export class Writer {
  readonly figures = { requests: 0, retries: 0, denials: 0 }
  /** What was answered wrongly. */
  readonly wrong: string[] = []
  /** Paths of virtual hosts that were refused since they had no address: mutation, which fails open, was not answered. */
  readonly unmutated: string[] = []
  /** All that ever was or was to be, as manifests. */
  readonly touched: Manifest[] = []
  readonly #server: string
  readonly #token: string
  readonly #agent: Agent

  constructor(kubeconfig: string) {
    const { clusters, users } = JSON.parse(kubeconfig)
    this.#server = clusters[0].cluster.server
    this.#token = users[0].user.token
    const ca = Buffer.from(clusters[0].cluster['certificate-authority-data'], 'base64')
    this.#agent = new Agent({ connect: { ca }, connections: 24, allowH2: false })
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }

  #pathOf({ kind, metadata }: Manifest): string {
    const { group, version, resource, namespaced } = kinds[kind]
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    return `${root}${namespaced ? `/namespaces/${metadata.namespace}` : ''}/${resource}/${metadata.name}`
  }

  /** One answer; undefined where there is none that counts: then the request is to be sent again. */
  async #send(method: 'PATCH' | 'DELETE' | 'PUT', path: string, body?: object): Promise<Outcome | undefined> {
    this.figures.requests++
    const type = method === 'PATCH' ? 'application/apply-patch+yaml' : 'application/json'
    const sent = request(`${this.#server}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': type },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(40_000),
    })
    let status: number
    let text: string
    try {
      const response = await sent
      status = response.statusCode
      text = await response.body.text()
    } catch {
      return undefined
    }
    if (status < 300 || (method !== 'PATCH' && status === 404)) return { admitted: new Fields(JSON.parse(text)) }
    // An API server that has just started forbids what it cannot judge itself yet.
    if (status === 403 && text.includes('denied the request')) return { denied: text }
    if (status >= 500 || [401, 403, 404, 409, 429].includes(status)) return undefined
    throw new Error(`${method} ${path}: ${status} ${text}`)
  }

  async #insist(method: 'PATCH' | 'DELETE' | 'PUT', path: string, body?: object): Promise<Outcome> {
    for (const deadline = Date.now() + patience; Date.now() < deadline; ) {
      const outcome = await this.#send(method, path, body)
      if (outcome !== undefined && !('denied' in outcome && outcome.denied.includes('[service-vip-missing]'))) {
        return outcome
      }
      this.figures.retries++
      if (outcome !== undefined) this.unmutated.push(path)
      await sleep(150)
    }
    throw new Error(`${method} ${path} was not answered on its merits within ${patience / 1000} s`)
  }

  apply(object: Manifest): Promise<Outcome> {
    this.touched.push(object)
    return this.#insist('PATCH', `${this.#pathOf(object)}?fieldManager=storm&force=true`, object)
  }

  /** Applies what nobody may refuse; resolves to it as it was stored. */
  async must(object: Manifest): Promise<Fields> {
    const outcome = await this.apply(object)
    if ('admitted' in outcome) return outcome.admitted
    this.wrong.push(`${object.kind} ${this.#pathOf(object)} is refused: ${outcome.denied}`)
    return new Fields({})
  }

  /** Applies a virtual host: it has one address at once. */
  async mustHaveAddress(object: Manifest): Promise<void> {
    const addresses = (await this.must(object)).object('spec').strings('externalIPs')
    if (addresses.length !== 1) this.wrong.push(`${this.#pathOf(object)} has the addresses [${addresses}]`)
  }

  async mustNot(object: Manifest, reason: string): Promise<void> {
    const outcome = await this.apply(object)
    if ('denied' in outcome && outcome.denied.includes(reason)) this.figures.denials++
    else this.wrong.push(`not for ${reason}: ${this.#pathOf(object)} ${JSON.stringify(outcome)}`)
  }

  async remove(object: Manifest): Promise<void> {
    await this.#insist('DELETE', this.#pathOf(object))
  }

  /** Deletes an empty Namespace; no controller of this control plane would finish that. */
  async removeNamespace(object: Manifest): Promise<void> {
    await this.remove(object)
    const finished = { apiVersion: 'v1', kind: 'Namespace', metadata: object.metadata, spec: { finalizers: [] } }
    await this.#insist('PUT', `${this.#pathOf(object)}/finalize`, finished)
  }
}

/** What a writer does again and again; `n` counts the rounds, from 1. */
type Round = (writer: Writer, n: number) => Promise<void>

/** A virtual host, its destination and its VirtualService move to another port and subset, and now and then go and come back. */
const moving =
  (namespace: string, name: string): Round =>
  async (writer, n) => {
    const port = 3000 + n
    const destination = service(namespace, `${name}-read`, { selector: { app: name }, ports: ports(port, port - 1) })
    const host = service(namespace, name, { ports: ports(port, port - 1) }, { round: `${n}` })
    const subsets = [n, n - 1].map((round) => ({ name: `v${round}`, labels: { round: `${round}` } }))
    const rule = istio('DestinationRule', namespace, `${name}-read`, { host: `${name}-read`, subsets })
    const routes = (to: number) => route(namespace, name, port, { host: `${name}-read`, port: to, subset: `v${n}` })
    await writer.must(destination)
    await writer.must(rule)
    await writer.mustHaveAddress(host)
    await writer.must(routes(port))
    if (n % 3 === 0) {
      await writer.mustNot(route(namespace, name, 9, { host: `${name}-read`, port }), 'virtualservice-match-port')
      await writer.mustNot(routes(9), 'virtualservice-destination-port')
    }
    if (n % 5 === 0) for (const object of [routes(port), host, rule, destination]) await writer.remove(object)
  }

/** A virtual host is routed to an external host whose ServiceEntry has just come. */
const leaving =
  (namespace: string, name: string): Round =>
  async (writer, n) => {
    const hosts = [n - 1, n].map((round) => `${name}-${round}.example.com`)
    const entry = serviceEntry(namespace, name, hosts, 8000 + (n % 7), [`240.240.9.${(n % 250) + 1}`])
    const routes = route(namespace, name, 3111, { host: hosts[1] ?? '', port: 8000 + (n % 7) })
    await writer.must(entry)
    await writer.mustHaveAddress(service(namespace, name, { ports: ports(3111) }))
    await writer.must(routes)
    if (n % 4 === 0) for (const object of [routes, entry]) await writer.remove(object)
  }

/** A Namespace comes with its first virtual host, gets labels, and goes. */
const settling =
  (name: string): Round =>
  async (writer, n) => {
    const injected = { 'istio-injection': 'enabled' }
    const own = namespace(`${name}-${n % 3}`, injected)
    const host = service(own.metadata.name, 'front', { ports: ports(3111) })
    await writer.must(own)
    await writer.mustHaveAddress(host)
    await writer.must(namespace(own.metadata.name, { ...injected, round: `${n}` }))
    await writer.remove(host)
    await writer.removeNamespace(own)
    if (n % 3 !== 0) return
    // The name comes back as a namespace that is none of the mesh's.
    await writer.must(namespace(own.metadata.name, {}))
    await writer.must(host)
    await writer.remove(host)
    await writer.removeNamespace(own)
  }

/** Two Services ask for one address at the same time, and two more for addresses that have long been somebody's. */
const racing =
  (namespace: string): Round =>
  async (writer, n) => {
    const address = `240.240.4.${(n % 250) + 1}`
    const racers = ['a', 'b'].map((name) =>
      service(namespace, `racer-${name}`, { ports: ports(3111), externalIPs: [address] }),
    )
    const outcomes = await Promise.all(racers.map((racer) => writer.apply(racer)))
    const winners = outcomes.filter((outcome) => 'admitted' in outcome)
    if (winners.length > 1) writer.wrong.push(`${address} is had ${winners.length} times`)
    for (const [index, taken] of steady.entries()) {
      const thief = service(namespace, `thief-${index}`, { ports: ports(3111), externalIPs: [taken] })
      await writer.mustNot(thief, 'service-vip-taken')
    }
    for (const racer of racers) await writer.remove(racer)
  }

/** Ordinary Services come, change and go. */
const churning =
  (namespace: string, name: string): Round =>
  async (writer, n) => {
    const plain = (port: number, labels: object) =>
      service(namespace, `${name}-${n % 11}`, { selector: { app: 'a' }, ports: ports(port) }, labels)
    await writer.must(plain(3000 + n, { round: `${n}` }))
    await writer.must(plain(3001 + n, { 'meshvip.dev/virtual-host': 'false' }))
    if (n % 2 === 0) await writer.remove(plain(3000, {}))
  }

/** The rounds of all writers, in the namespaces storm-0 to storm-3 and in some that come and go. */
export const rounds: readonly Round[] = [0, 1, 2, 3].flatMap((index) => [
  moving(`storm-${index}`, `orders-${index}`),
  moving(`storm-${index}`, `carts-${index}`),
  leaving(`storm-${index}`, `bank-${index}`),
  churning(`storm-${index}`, `plain-${index}`),
  ...(index < 2 ? [settling(`fresh-${index}`), racing(`storm-${index}`)] : []),
])

/** What is done to connections, how many milliseconds after what was done before, and for how long. */
const interferences = (seed: number) =>
  fc.sample(
    fc.record({
      after: fc.integer({ min: 200, max: 2_500 }),
      what: fc.constantFrom('end', 'end', 'reset', 'reset', 'refuse', 'stall'),
      lasting: fc.integer({ min: 50, max: 900 }),
    }),
    { seed, numRuns: 500 },
  )

/** Interferes with all connections, every second or so, until it is aborted; resolves to how often it did. */
export const interfere = async (proxy: TcpProxy, seed: number, signal: AbortSignal): Promise<number> => {
  let count = 0
  for (const { after, what, lasting } of interferences(seed)) {
    await sleep(after, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    count++
    if (what === 'stall') proxy.stall()
    else if (what === 'refuse') proxy.refuse()
    if (what !== 'stall') proxy.cut(what === 'end' ? 'end' : 'reset')
    if (what === 'stall' || what === 'refuse') await sleep(lasting)
    proxy.forward()
  }
  return count
}
