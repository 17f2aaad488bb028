import Fastify, { type FastifyInstance } from 'fastify'
import type { Metrics } from './metrics.ts'

export type HealthOptions = {
  metrics: Metrics
  /** Whether requests should be sent to us. */
  isReady: () => Promise<boolean>
}

/** The plain HTTP server for probes and Prometheus: /livez, /readyz, /metrics. Not listening yet. */
export const createHealthServer = ({ metrics, isReady }: HealthOptions): FastifyInstance => {
  const app = Fastify({ logger: false })
  app.get('/livez', () => 'ok')
  app.get('/readyz', async (_request, reply) => {
    if (await isReady()) return 'ok'
    return reply.code(503).send('not ready')
  })
  app.get('/metrics', async (_request, reply) =>
    reply.header('content-type', metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
  return app
}
