import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { Backend } from '../admission/backend.ts'
import { mutate } from '../admission/mutate.ts'
import { type AdmissionRequest, type Answer, deny, formatReview, parseReview } from '../admission/review.ts'
import { validate } from '../admission/validate.ts'
import type { Policy } from '../rules/policy.ts'
import { ApiError } from '../kubernetes/client.ts'
import type { Metrics } from './metrics.ts'

/**
 * A review carries an object and the one that it replaces. The API server takes requests of 3 MiB (apiserver pkg/server/config.go,
 * MaxRequestBodyBytes), and what it sends on as JSON may have come as something denser: two of them, twice over, and the envelope.
 */
export const bodyLimit = 2 * 2 * 3 * 1024 * 1024 + 64 * 1024

/** What the API server waits for us unless it says otherwise (admissionregistration/v1 defaults.go, timeoutSeconds). */
const defaultTimeoutSeconds = 10

/** What is kept back of the time that the API server gives, so that our answer still reaches it. */
const marginMilliseconds = 250

const webhooks = { mutate, validate } as const

export type WebhookOptions = {
  backend: Backend
  policy: () => Policy
  metrics: Metrics
  logger: Logger
  tls: { key: string; cert: string }
  /** False while we cannot answer on the merits: the API server is then asked to come again. */
  isReady: () => boolean
}

/** How long the answer may take, out of `?timeout=5s`, which the API server sends with each request. In milliseconds. */
export const reviewDeadline = (timeout: unknown): number => {
  const [, digits, unit] = /^(\d{1,6})(ms|s)$/.exec(typeof timeout === 'string' ? timeout : '') ?? []
  const given = digits === undefined ? defaultTimeoutSeconds * 1000 : Number(digits) * (unit === 'ms' ? 1 : 1000)
  return Math.max(given - marginMilliseconds, given / 2)
}

/** Our own trouble is no verdict: with Retry-After the API server sends the same request again (client-go rest/with_retry.go). */
const comeAgain = (reply: FastifyReply, message: string): FastifyReply =>
  reply
    .code(503)
    .header('retry-after', '1')
    .send({ message: `meshvip cannot answer now: ${message}` })

const objectName = ({ namespace, name }: AdmissionRequest): string => `${namespace ?? ''}/${name ?? ''}`

/** The HTTPS server that the API server calls: POST /mutate and POST /validate. Not listening yet. */
export const createWebhookServer = (options: WebhookOptions): FastifyInstance => {
  const { backend, policy, metrics, logger, isReady } = options
  const app: FastifyInstance = Fastify({
    // HTTP/1.1 only: it is all that the API server speaks to a webhook in a cluster.
    https: { ...options.tls, minVersion: 'TLSv1.2' },
    bodyLimit,
    // Longer than the 90 s that the API server keeps an idle connection, or it would now and then write into one just closed.
    keepAliveTimeout: 120_000,
    requestTimeout: 30_000,
  })

  // Whatever its content type, a body is a review or is answered as none: an HTTP error would be a way around us.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))

  const answer = async (name: keyof typeof webhooks, request: FastifyRequest, reply: FastifyReply) => {
    const parsed = parseReview(typeof request.body === 'string' ? request.body : '')
    if ('problem' in parsed) {
      logger.warn({ webhook: name, uid: parsed.uid, problem: parsed.problem }, 'no review')
      return reply.send(formatReview(parsed.uid, deny(`meshvip cannot read this request: ${parsed.problem}`)))
    }
    const review = parsed.request
    const started = performance.now()
    const signal = AbortSignal.timeout(reviewDeadline((request.query as Record<string, unknown>).timeout))
    const record = (verdict: string, given: Partial<Answer>, error?: unknown) => {
      const milliseconds = performance.now() - started
      metrics.seconds.observe({ webhook: name }, milliseconds / 1000)
      metrics.reviews.inc({
        webhook: name,
        operation: review.operation,
        verdict,
        dry_run: String(review.dryRun ?? false),
      })
      const line = {
        webhook: name,
        uid: review.uid,
        kind: review.kind.kind,
        object: objectName(review),
        operation: review.operation,
        dryRun: review.dryRun ?? false,
        user: review.userInfo?.username,
        verdict,
        rules: [...new Set(given.outcomes?.map(({ rule, action }) => `${rule}:${action}`))],
        ...(given.auditAnnotations?.address === undefined ? {} : { address: given.auditAnnotations.address }),
        milliseconds: Math.round(milliseconds * 10) / 10,
      }
      if (error === undefined) logger.info(line, 'review')
      else logger.error({ ...line, err: error }, 'review')
    }
    metrics.inFlight.inc()
    try {
      if (!isReady()) {
        record('unavailable', {})
        return comeAgain(reply, 'it is starting or stopping')
      }
      const given = await webhooks[name](review, backend, { policy: policy(), signal })
      if (name === 'validate') {
        for (const { rule, action } of given.outcomes) metrics.findings.inc({ rule, action })
      }
      record(given.allowed ? 'allowed' : 'denied', given)
      return reply.send(formatReview(review.uid, given))
    } catch (error) {
      record('unavailable', {}, error)
      if (signal.aborted) return comeAgain(reply, 'the cluster did not answer in time')
      if (error instanceof ApiError) return comeAgain(reply, 'the cluster cannot be read')
      // A defect of ours. The failure policy of the webhook decides what becomes of the request; asking again would not help.
      return reply
        .code(500)
        .send({ message: `meshvip failed on this request; its log has the reason under the uid ${review.uid}` })
    } finally {
      metrics.inFlight.dec()
    }
  }

  app.post('/mutate', (request, reply) => answer('mutate', request, reply))
  app.post('/validate', (request, reply) => answer('validate', request, reply))

  // What fails before a handler has the body, such as a body over the limit.
  app.setErrorHandler((error: Error, request, reply) => {
    logger.warn({ err: error, url: request.url }, 'unreadable request')
    return reply.code(200).send(formatReview('', deny(`meshvip cannot read this request: ${error.message}`)))
  })
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      message: `nothing is served at ${request.method} ${request.url}: POST a review to /mutate or /validate`,
    }),
  )
  return app
}
