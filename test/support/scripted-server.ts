import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { kubeConfigOf } from './kubeconfig.ts'

/** A request that waits for its answer. */
export type Asked = {
  path: string
  query: Record<string, string>
  /** Answers with a status and a body, whole. */
  answer(status: number, body?: unknown): void
  /** Begins a watch, or goes on with it: one line an event. */
  events(...events: object[]): void
  /** Ends the watch as the API server does. */
  end(): void
  /** Cuts the connection. */
  cut(): void
  closed: Promise<unknown>
}

/** An API server that does nothing by itself: a test takes its requests one by one, and answers them. */
export const startScriptedServer = async (t: Test) => {
  const waiting: Asked[] = []
  const takers: ((asked: Asked) => void)[] = []
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const asked: Asked = {
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      answer: (status, body = {}) =>
        response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body)),
      events: (...events) => {
        if (!response.headersSent) response.writeHead(200).flushHeaders()
        for (const event of events) response.write(`${JSON.stringify(event)}\n`)
      },
      end: () => response.end(),
      cut: () => response.destroy(),
      closed: once(response, 'close'),
    }
    const taker = takers.shift()
    if (taker === undefined) waiting.push(asked)
    else taker(asked)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    client: new KubernetesClient(kubeConfigOf({ server: address })),
    /** The next request, as soon as there is one. */
    next: (): Promise<Asked> => {
      const asked = waiting.shift()
      return asked === undefined ? new Promise((resolve) => takers.push(resolve)) : Promise.resolve(asked)
    },
  }
}
