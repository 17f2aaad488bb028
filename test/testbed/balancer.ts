import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setInterval as every, setTimeout as sleep } from 'node:timers/promises'

/** Somebody who answers: the URL that connections are for, and the one that says whether it wants them. */
export type Backend = { url: string; readyURL: string }

/** In milliseconds. */
export type BalancerTimes = {
  /** Between two probes of a backend (a container's readinessProbe.periodSeconds). */
  period: number
  /** How long a probe may take. */
  timeout: number
  /** From a change of the readiness to the last node that heeds it: kubelet, EndpointSlice, kube-proxy. */
  propagation: number
}

export type Balancer = {
  /** `https://127.0.0.1:PORT`; what is spoken over the connections is between the two ends. */
  url: string
  /** Resolves when new connections go to a backend, or do so no more. Throws after half a minute. */
  until(backend: Backend, inRotation: boolean): Promise<void>
  stop(): Promise<void>
}

/** Failed probes in a row after which a backend is not ready (readinessProbe.failureThreshold). */
const failureThreshold = 3
const LIMIT_MS = 30_000

/** Passes on what the two sides of a connection say, and how they end: in order, or by a reset. */
const join = (client: Socket, backend: Socket): void => {
  client.pipe(backend).pipe(client)
  client.on('error', () => backend.resetAndDestroy())
  backend.on('error', () => client.resetAndDestroy())
}

/**
 * Stands for a Service of Kubernetes: a new connection goes to the next backend that is ready, and is reset where there is none or
 * where the backend refuses it. A connection stays where it is, also when its backend is not ready any more, as with kube-proxy
 * and its conntrack.
 */
export const startBalancer = async (
  backends: readonly Backend[],
  { period, timeout, propagation }: BalancerTimes = { period: 500, timeout: 1_000, propagation: 1_000 },
): Promise<Balancer> => {
  const rotation = new Set<Backend>()
  const sockets = new Set<Socket>()
  const stopped = new AbortController()

  const probe = async (backend: Backend): Promise<void> => {
    let failures = 0
    for await (const _ of every(period, undefined, { signal: stopped.signal })) {
      const ok = await fetch(backend.readyURL, { signal: AbortSignal.timeout(timeout) }).then(
        (answer) => answer.ok,
        () => false,
      )
      failures = ok ? 0 : failures + 1
      // One probe after the other, so what is set later is heeded later.
      const heed = () => {
        if (ok) rotation.add(backend)
        else rotation.delete(backend)
      }
      if (ok || failures >= failureThreshold) setTimeout(heed, propagation).unref()
    }
  }

  const track = (socket: Socket): void => {
    sockets.add(socket.setNoDelay())
    socket.once('close', () => sockets.delete(socket))
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    track(client)
    const [next] = rotation
    if (next === undefined) {
      client.resetAndDestroy()
      return
    }
    // To the end of the row.
    rotation.delete(next)
    rotation.add(next)
    const { hostname, port } = new URL(next.url)
    const backend = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    track(backend)
    join(client, backend)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const probing = backends.map((backend) => probe(backend).catch(() => {}))

  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    until: async (backend, inRotation) => {
      for (const deadline = Date.now() + LIMIT_MS; rotation.has(backend) !== inRotation; await sleep(50)) {
        if (Date.now() > deadline) {
          throw new Error(`${backend.url} is ${inRotation ? 'not' : 'still'} in rotation after ${LIMIT_MS / 1000} s`)
        }
      }
    },
    stop: async () => {
      stopped.abort()
      server.close()
      for (const socket of sockets) socket.destroy()
      await Promise.all(probing)
    },
  }
}
