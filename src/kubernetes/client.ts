import { HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node'
import { fetch, type Response } from 'undici'
import { Fields } from '../api/fields.ts'
import { mayBeAbsent, type ResourceKind, resources } from '../api/kinds.ts'
import { isObjectName, type NamespacedName, readName } from '../api/metadata.ts'

/** What the API server answered instead of what was asked for, or that it could not be reached. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The HTTP status; 0 where there was no answer, or none of an API server. */
  readonly status: number

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }

  /** Whether the same request may succeed a moment later; a token, for one, may just have been renewed. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500
  }
}

const pageSize = 500

/** The name under which the API server notes what we changed. */
const fieldManager = 'meshvip'

/** What the API server says in a Status; the text itself where it is none. */
const messageIn = (text: string): string => {
  try {
    return new Fields(JSON.parse(text)).string('message') ?? text
  } catch {
    return text
  }
}

/** Which objects of a kind are meant: of a namespace, with labels that a selector matches. */
export type Selection = { namespace?: string | undefined; labels?: string | undefined }

type Page = { items: unknown[]; resourceVersion: string }

/** The JSON values in the lines of a response, as they come. Throws ApiError where it breaks off. */
async function* linesOf(response: Response, request: string): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = String(lines.pop())
      for (const line of lines) if (line !== '') yield JSON.parse(line)
    }
  } catch (error) {
    throw new ApiError(0, `${request}: the watch breaks off`, { cause: error })
  }
}

/** JSON in and out of an API server, over one kept connection; objects are raw, as the API server has them. */
export class KubernetesClient {
  readonly #config: KubeConfig
  readonly #server: string

  constructor(config: KubeConfig) {
    this.#config = config
    this.#server = config.getCurrentCluster()?.server.replace(/\/$/, '') ?? ''
  }

  async #open(method: HttpMethod, path: string, signal: AbortSignal, body?: { type: string; json: unknown }) {
    const request = `${method} ${path}`
    let response: Response
    try {
      const context = new RequestContext(`${this.#server}${path}`, method)
      await this.#config.applySecurityAuthentication(context)
      const dispatcher = context.getDispatcher()
      response = await fetch(context.getUrl(), {
        method,
        headers: {
          ...context.getHeaders(),
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': body.type }),
        },
        signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body.json) }),
        ...(dispatcher === undefined ? {} : { dispatcher }),
      })
    } catch (error) {
      throw new ApiError(0, `${request}: the API server cannot be reached`, { cause: error })
    }
    if (response.ok) return response
    const text = await response.text().catch(() => '')
    throw new ApiError(response.status, `${request}: ${response.status} ${messageIn(text).slice(0, 500)}`)
  }

  async #send(method: HttpMethod, path: string, signal: AbortSignal, body?: { type: string; json: unknown }) {
    const response = await this.#open(method, path, signal, body)
    let text: string
    try {
      text = await response.text()
    } catch (error) {
      throw new ApiError(0, `${method} ${path}: the answer breaks off`, { cause: error })
    }
    try {
      return JSON.parse(text) as unknown
    } catch (error) {
      throw new ApiError(0, `${method} ${path}: the answer is no JSON`, { cause: error })
    }
  }

  #path(kind: ResourceKind, namespace: string, name?: string): string {
    const { group, version, resource, namespaced } = resources[kind]
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const scope = namespaced && namespace !== '' ? `/namespaces/${namespace}` : ''
    return `${root}${scope}/${resource}${name === undefined ? '' : `/${name}`}`
  }

  /** The version of the API server, such as `v1.36.3`. */
  async version(signal: AbortSignal): Promise<string> {
    return new Fields(await this.#send(HttpMethod.GET, '/version', signal)).string('gitVersion') ?? ''
  }

  /** The object of this name (with an empty namespace where its kind is cluster-scoped); undefined where there is none, or where its kind is not installed. */
  async get(kind: ResourceKind, { namespace, name }: NamespacedName, signal: AbortSignal): Promise<unknown> {
    if (!isObjectName(name) || (resources[kind].namespaced && !isObjectName(namespace))) return undefined
    try {
      return await this.#send(HttpMethod.GET, this.#path(kind, namespace, name), signal)
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  /**
   * All objects of a kind, one after the other: a large cluster's raw ones are not all held at once. None where it is one of Istio's and
   * not installed. No namespace, or an empty one, means all.
   */
  async *objects(kind: ResourceKind, selection: Selection, signal: AbortSignal): AsyncGenerator<unknown, void> {
    if (selection.namespace && !isObjectName(selection.namespace)) return
    try {
      for await (const { items } of this.pages(kind, selection, signal)) yield* items
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404 && mayBeAbsent(kind))) throw error
    }
  }

  /** The same objects as a list. */
  list(kind: ResourceKind, selection: Selection, signal: AbortSignal): Promise<unknown[]> {
    return Array.fromAsync(this.objects(kind, selection, signal))
  }

  /**
   * All objects of a kind, page by page, and the resourceVersion at which a watch goes on. Throws ApiError: status 404 where the kind
   * is not installed, 410 where the list took so long that it cannot go on.
   */
  async *pages(
    kind: ResourceKind,
    { namespace = '', labels }: Selection,
    signal: AbortSignal,
  ): AsyncGenerator<Page, void> {
    const query = new URLSearchParams({ limit: String(pageSize) })
    if (labels !== undefined) query.set('labelSelector', labels)
    let next: string | undefined
    do {
      const page = new Fields(await this.#send(HttpMethod.GET, `${this.#path(kind, namespace)}?${query}`, signal))
      const metadata = page.object('metadata')
      yield {
        items: (page.raw('items') ?? []) as unknown[],
        resourceVersion: String(metadata.raw('resourceVersion')),
      }
      next = metadata.string('continue') || undefined
      if (next !== undefined) query.set('continue', next)
    } while (next !== undefined)
  }

  /**
   * Follows a kind. Resolves when the API server has taken the watch up, to the events as they are, until it ends the watch. Throws
   * ApiError, also where the signal is aborted.
   */
  async watch(
    kind: ResourceKind,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<unknown, void>> {
    const path = `${this.#path(kind, '')}?${new URLSearchParams({ watch: 'true', ...query })}`
    return linesOf(await this.#open(HttpMethod.GET, path, signal), `GET ${path}`)
  }

  /** Creates an object in the namespace that it names. Throws ApiError: status 409 where there is one of that name. */
  create(kind: ResourceKind, object: unknown, options: { dryRun: boolean }, signal: AbortSignal): Promise<unknown> {
    const { namespace } = readName(new Fields(object))
    const path = `${this.#path(kind, namespace)}${options.dryRun ? '?dryRun=All' : ''}`
    return this.#send(HttpMethod.POST, path, signal, { type: 'application/json', json: object })
  }

  /**
   * Deletes an object if it is still what it was. Throws ApiError: status 404 where it is gone, 409 where it is another
   * by now or was changed.
   */
  delete(
    kind: ResourceKind,
    { namespace, name }: NamespacedName,
    was: { uid: string; resourceVersion: string },
    signal: AbortSignal,
  ): Promise<unknown> {
    return this.#send(HttpMethod.DELETE, this.#path(kind, namespace, name), signal, {
      type: 'application/json',
      json: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: was },
    })
  }

  /**
   * Applies a JSON merge patch. Throws ApiError: status 404 where there is none of that name, 409 where the patch names a
   * resourceVersion that is not the present one.
   */
  mergePatch(
    kind: ResourceKind,
    { namespace, name }: NamespacedName,
    patch: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    return this.#send(HttpMethod.PATCH, `${this.#path(kind, namespace, name)}?fieldManager=${fieldManager}`, signal, {
      type: 'application/merge-patch+json',
      json: patch,
    })
  }
}
