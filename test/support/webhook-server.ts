import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import { type Backend, liveBackend } from '../../src/admission/backend.ts'
import type { AdmissionRequest } from '../../src/admission/review.ts'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { type Capacity, defaultCapacity } from '../../src/server/capacity.ts'
import { createMetrics, type Metrics } from '../../src/server/metrics.ts'
import { type Clients, createWebhookServer, type State } from '../../src/server/webhook.ts'
import { memory } from './backends.ts'
import type { FakeApiServer } from './fake-api-server.ts'
import { CapturedLog } from './log.ts'
import { reviewOf } from './reviews.ts'

type InjectedAnswer = { statusCode: number; headers: Record<string, unknown>; body: string }

export type WebhookUnderTest = {
  app: FastifyInstance
  metrics: Metrics
  log: CapturedLog
  /** Sends a body as it is. */
  send(url: string, body: string, headers?: Record<string, string>): Promise<InjectedAnswer>
  /** Sends a review of this request. */
  review(url: string, request: AdmissionRequest): Promise<InjectedAnswer>
}

/** The webhook server without its socket, over a cluster in memory unless it is given another. */
export const startWebhookServer = async (
  t: Test,
  {
    backend = memory(),
    state = () => 'serving',
    capacity = defaultCapacity,
    tls,
    clients,
  }: {
    backend?: Backend
    state?: () => State
    capacity?: Capacity
    tls?: { cert: string; key: string }
    clients?: Clients
  } = {},
): Promise<WebhookUnderTest> => {
  const log = new CapturedLog()
  const metrics = createMetrics()
  const logger = pino({ base: null }, log)
  const app = createWebhookServer({
    backend,
    policy: () => defaultPolicy,
    metrics,
    logger,
    tls: tls ?? (await makeServingCertificate(['localhost'], new Date())),
    clients,
    state,
    capacity,
  })
  t.teardown(() => app.close())
  const send: WebhookUnderTest['send'] = (url, body, headers = { 'content-type': 'application/json' }) =>
    app.inject({ method: 'POST', url, body, headers })
  return {
    app,
    metrics,
    log,
    send,
    review: (url, request) => send(url, JSON.stringify(reviewOf(request))),
  }
}

export const liveBackendOf = (server: FakeApiServer): Backend =>
  liveBackend({ client: server.client, clusterDomain: 'cluster.local', onError: () => {} })
