import type { ResourceKind } from '../../src/api/kinds.ts'
import type { NamespacedName } from '../../src/api/metadata.ts'
import { ApiError, type KubernetesClient } from '../../src/kubernetes/client.ts'
import { type FakeApiServer, type FakeRequest, pathOf } from './fake-api-server.ts'

type Request = Pick<FakeRequest, 'method' | 'path' | 'body'> & { type?: string; query?: Record<string, string> }

/** How a request gets to the server and the answer back. */
export type Network = <T>(request: () => Promise<T>, signal: AbortSignal) => Promise<T>

/** A network without failures, but that a request ends with its signal. */
const ideal: Network = (request, signal) =>
  new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new ApiError(0, 'the API server cannot be reached')))
    request().then(resolve, reject)
  })

/** A client of a fake API server without a socket in between, so that a TestClock governs all time there is. */
export const inProcess = (
  server: FakeApiServer,
  network: Network = ideal,
): Pick<KubernetesClient, 'get' | 'create' | 'mergePatch'> => {
  const send = ({ type = '', query = {}, ...request }: Request, signal: AbortSignal): Promise<unknown> =>
    network(async () => {
      const headers = { 'content-type': type }
      const { status, body } = await server.handle({ ...request, headers, query: new URLSearchParams(query) })
      if (status >= 400) {
        const { message = '' } = body as { message?: string }
        throw new ApiError(status, `${request.method} ${request.path}: ${status} ${message}`.trim())
      }
      return JSON.parse(JSON.stringify(body)) as unknown
    }, signal)
  const path = (kind: ResourceKind, metadata: NamespacedName) => pathOf({ kind, metadata })
  return {
    get: async (kind, name, signal) => {
      try {
        return await send({ method: 'GET', path: path(kind, name), body: undefined }, signal)
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return undefined
        throw error
      }
    },
    create: (kind, object, { dryRun }, signal) => {
      const { metadata } = object as { metadata: NamespacedName }
      const collection = path(kind, metadata).slice(0, -metadata.name.length - 1)
      const query: Record<string, string> = dryRun ? { dryRun: 'All' } : {}
      return send({ method: 'POST', path: collection, body: object, query }, signal)
    },
    mergePatch: (kind, name, patch, signal) => {
      const type = 'application/merge-patch+json'
      return send({ method: 'PATCH', path: path(kind, name), body: patch, type }, signal)
    },
  }
}
