import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import { type Resource, type ResourceKind, resources } from '../../src/api/kinds.ts'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { kubeConfigOf, kubeconfig } from './kubeconfig.ts'

type Raw = { apiVersion: string; kind: string; metadata: Record<string, unknown>; [field: string]: unknown }

export type FakeRequest = {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  body: unknown
}

/** Where the objects of a kind are: `/api/v1`, `/namespaces/shop` or nothing, `services`. */
type Collection = Record<'root' | 'scope' | 'resource', string>

export type FakeReply = { status: number; body: unknown }

const status = (code: number, reason: string): FakeReply => ({
  status: code,
  body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code },
})

export const forbidden = status(403, 'Forbidden')
export const notFound = status(404, 'NotFound')
export const alreadyExists = status(409, 'AlreadyExists')
export const conflict = status(409, 'Conflict')
export const brokenDown = status(500, 'InternalError')

const rootOf = ({ group, version }: Resource): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`

const roots = new Map(Object.values(resources).map((resource) => [resource.resource as string, rootOf(resource)]))

export const pathOf = ({ kind, metadata }: Pick<Raw, 'kind' | 'metadata'>): string => {
  const resource = resources[kind as ResourceKind]
  const scope = metadata.namespace ? `/namespaces/${metadata.namespace}` : ''
  return `${rootOf(resource)}${scope}/${resource.resource}/${metadata.name}`
}

/** RFC 7396. */
export const mergePatched = (target: unknown, patch: unknown): unknown => {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const merged: Record<string, unknown> = { ...(target as Record<string, unknown>) }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = mergePatched(merged[key], value)
  }
  return merged
}

const matchesSelector = ({ metadata }: Raw, selector: string): boolean => {
  const labels = (metadata.labels ?? {}) as Record<string, string>
  return selector.split(',').every((term) => {
    const [key = '', value] = term.split('=')
    return labels[key] === value
  })
}

/** Of the kinds that we write, those that count their changes. */
const hasGeneration = new Set(['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'])

/** Whether two states of an object ask for something else: what is not metadata. */
const isChanged = ({ metadata: _, ...before }: Raw, { metadata: __, ...after }: Raw): boolean =>
  !isDeepStrictEqual(before, after)

/** Enough of a Kubernetes API server for a client that gets, lists in pages, creates, merges and deletes; everything is in memory. */
export class FakeApiServer {
  /** Every request, in the order in which it arrived. */
  readonly requests: FakeRequest[] = []
  /** Answers in place of the server, where it answers at all; may take its time. */
  intercept: (request: FakeRequest) => FakeReply | undefined | Promise<FakeReply | undefined> = () => undefined
  /** Resources that the cluster does not have installed. */
  readonly uninstalled = new Set<string>()
  /** What it says of its version: the oldest that we work with. */
  version = 'v1.33.0'
  /**
   * Whether a watch begins with the list as it is. Otherwise it tells nothing, so that whoever watches reads instead. What changes
   * later it never tells: scripted-server.ts is for that.
   */
  showsLists = false
  /** How many TLS connections were made, where it speaks TLS. */
  secureConnections = 0

  readonly #server: Server
  readonly #tls: { ca: string } | undefined
  readonly #objects = new Map<string, Raw>()
  #version = 0

  constructor(tls?: { ca: string; cert: string; key: string }) {
    this.#tls = tls
    const listener: RequestListener = (request, response) => void this.#serve(request, response)
    this.#server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
    this.#server.on('secureConnection', () => {
      this.secureConnections++
    })
  }

  async listen(): Promise<void> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    return `${this.#tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  }

  get kubeconfig(): string {
    return kubeconfig({ server: this.url, ...(this.#tls === undefined ? {} : { ca: this.#tls.ca }) })
  }

  get client(): KubernetesClient {
    return new KubernetesClient(kubeConfigOf({ server: this.url }))
  }

  /** The requests as `GET /api/v1/...`, query left out. */
  get log(): string[] {
    return this.requests.map(({ method, path }) => `${method} ${path}`)
  }

  put(...objects: Raw[]): void {
    for (const object of objects) {
      const resourceVersion = String(++this.#version)
      const was = this.#objects.get(pathOf(object))
      const uid = was?.metadata.uid ?? `uid-${resourceVersion}`
      const generation = hasGeneration.has(object.kind)
        ? { generation: Number(was?.metadata.generation ?? 0) + Number(was === undefined || isChanged(was, object)) }
        : {}
      const metadata = { ...object.metadata, uid, ...generation, resourceVersion }
      this.#objects.set(pathOf(object), { ...object, metadata })
    }
  }

  /** Forgets all objects, requests and interceptions. */
  clear(): void {
    this.#objects.clear()
    this.requests.length = 0
    this.uninstalled.clear()
    this.intercept = () => undefined
    this.#version = 0
  }

  delete(path: string): void {
    this.#objects.delete(path)
  }

  get(path: string): Raw | undefined {
    return this.#objects.get(path)
  }

  /** The claims, by address, with the Service that each is for. */
  get claims(): Record<string, string> {
    const claims = [...this.#objects.values()].filter(({ kind }) => kind === 'IPAddress')
    return Object.fromEntries(
      claims.map(({ metadata, spec }) => {
        const { namespace, name } = (spec as { parentRef: { namespace: string; name: string } }).parentRef
        return [metadata.name, `${namespace}/${name}`]
      }),
    )
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://fake')
    if (url.searchParams.has('watch')) {
      response.writeHead(200).flushHeaders()
      if (this.showsLists) for (const event of this.#initialEvents(url)) response.write(`${JSON.stringify(event)}\n`)
      return
    }
    const seen: FakeRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: request.method === 'GET' ? undefined : await json(request),
    }
    const { status, body } = await this.handle(seen)
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }

  /** The answer to a request, however it came. */
  async handle(request: FakeRequest): Promise<FakeReply> {
    this.requests.push(request)
    return (await this.intercept(request)) ?? this.#answer(request)
  }

  #initialEvents({ pathname }: URL): object[] {
    const [root = '', resource = ''] = [pathname.slice(0, pathname.lastIndexOf('/')), pathname.split('/').at(-1)]
    const items = this.#matching({ root, scope: '', resource }, null)
    const annotations = { 'k8s.io/initial-events-end': 'true' }
    const end = { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.#version), annotations } } }
    return [...items.map((object) => ({ type: 'ADDED', object })), end]
  }

  #answer(request: FakeRequest): FakeReply {
    const { method, path } = request
    if (path === '/version') return { status: 200, body: { gitVersion: this.version } }
    const parts = /^(\/api\/v1|\/apis\/[^/]+\/v1)(\/namespaces\/[^/]+)?\/([a-z]+)(\/[^/]+)?$/.exec(path) ?? []
    const [, root = '', scope = '', resource = '', name] = parts
    if (roots.get(resource) !== root || this.uninstalled.has(resource)) return notFound
    if (method === 'POST') return this.#create(request)
    if (name === undefined) return this.#list(request, { root, scope, resource })
    const present = this.#objects.get(path)
    if (present === undefined) return notFound
    if (method === 'GET') return { status: 200, body: present }
    if (method === 'DELETE') return this.#remove(request, present)
    return this.#patch(request, present)
  }

  #create({ query, body }: FakeRequest): FakeReply {
    const object = body as Raw
    if (this.#objects.has(pathOf(object))) return alreadyExists
    if (query.get('dryRun') === 'All') return { status: 201, body: object }
    this.put(object)
    return { status: 201, body: this.get(pathOf(object)) }
  }

  #remove({ path, body }: FakeRequest, { metadata }: Raw): FakeReply {
    const { uid, resourceVersion } = (body as { preconditions: Record<string, unknown> }).preconditions
    if (uid !== metadata.uid || resourceVersion !== metadata.resourceVersion) return conflict
    this.#objects.delete(path)
    return { status: 200, body: {} }
  }

  #patch({ headers, body }: FakeRequest, present: Raw): FakeReply {
    if (headers['content-type'] !== 'application/merge-patch+json') return status(415, 'UnsupportedMediaType')
    const { uid, resourceVersion } = (body as Partial<Raw>).metadata ?? {}
    if (resourceVersion !== undefined && resourceVersion !== present.metadata.resourceVersion) return conflict
    if (uid !== undefined && uid !== present.metadata.uid) return conflict
    const merged = mergePatched(present, body) as Raw
    // What changes nothing is not written (apiserver pkg/storage/etcd3/store.go, GuaranteedUpdate).
    if (!isDeepStrictEqual(merged, present)) this.put(merged)
    return { status: 200, body: this.get(pathOf(present)) }
  }

  #matching({ root, scope, resource }: Collection, selector: string | null): Raw[] {
    return [...this.#objects].flatMap(([path, object]) =>
      path.startsWith(`${root}${scope}/`) &&
      path.split('/').at(-2) === resource &&
      (selector === null || matchesSelector(object, selector))
        ? [object]
        : [],
    )
  }

  #list({ query }: FakeRequest, collection: Collection): FakeReply {
    const matching = this.#matching(collection, query.get('labelSelector'))
    const from = Number(query.get('continue') ?? 0)
    const to = from + Number(query.get('limit') ?? matching.length)
    const next = to < matching.length ? { continue: String(to) } : {}
    return { status: 200, body: { kind: 'List', apiVersion: 'v1', metadata: next, items: matching.slice(from, to) } }
  }
}

/** A fake API server that listens for as long as the test lasts. */
export const startFakeApiServer = async (
  t: Test,
  tls?: { ca: string; cert: string; key: string },
): Promise<FakeApiServer> => {
  const server = new FakeApiServer(tls)
  await server.listen()
  t.teardown(() => server.close())
  return server
}
