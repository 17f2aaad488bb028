import type { IncomingMessage } from 'node:http'
import type { Server as TLSServer, TLSSocket } from 'node:tls'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { Backend } from '../admission/backend.ts'
import { mutate } from '../admission/mutate.ts'
import { type AdmissionRequest, type Answer, deny, formatReview, parseReview } from '../admission/review.ts'
import { nameOf } from '../admission/subject.ts'
import { validate } from '../admission/validate.ts'
import { ApiError } from '../kubernetes/client.ts'
import { probeAnswer } from '../registration/proof.ts'
import { shownName } from '../rules/message.ts'
import type { Policy } from '../rules/policy.ts'
import { readBody, UnreadableBody } from './body.ts'
import { type Capacity, Load, Overload, type Share } from './capacity.ts'
import type { Metrics } from './metrics.ts'

/**
 * A review carries an object and the one that it replaces. The API server takes requests of 3 MiB (apiserver pkg/server/config.go,
 * MaxRequestBodyBytes), and what it sends on as JSON may have come as something denser: two of them, twice over, and the envelope.
 */
export const bodyLimit = 2 * 2 * 3 * 1024 * 1024 + 64 * 1024

/** Milliseconds for a whole request to arrive; the API server sends one in a single piece. */
const receiveTimeout = 10_000

/** What the API server waits for us at most (admissionregistration/v1, timeoutSeconds). */
const maxTimeoutSeconds = 30

/** What the API server waits for us unless it says otherwise (admissionregistration/v1 defaults.go, timeoutSeconds). */
const defaultTimeoutSeconds = 10

/** What is kept back of the time that the API server gives, so that our answer still reaches it. */
const marginMilliseconds = 250

const webhooks = { mutate, validate } as const

/**
 * `away`: we cannot answer on the merits, and the API server is asked to come again. `leaving`: we answer, but requests should go to
 * others; whoever sends one is told to open another connection for the next, so that none is in use when the server closes.
 */
export type State = 'serving' | 'leaving' | 'away'

export type WebhookOptions = {
  backend: Backend
  policy: () => Policy
  metrics: Metrics
  logger: Logger
  tls: { key: string; cert: string }
  /** Who may ask us; everybody where it is left out. */
  clients?: Clients | undefined
  state: () => State
  capacity: Capacity
}

/**
 * The ends of TLS that may ask us. The CA (PEM) certifies them; of those it does only the ones with one of these names as common name or
 * DNS name may, or all where there are none.
 */
export type Clients = { ca: string; names: readonly string[] }

/** What of TLS a change of the certificate sets again: nothing of the context before is kept. */
const secureContext = (certificate: { key: string; cert: string }, clients: Clients | undefined) => ({
  ...certificate,
  ...(clients === undefined ? {} : { ca: clients.ca }),
  minVersion: 'TLSv1.2' as const,
})

/** Serves new connections with another certificate, which has its key; those that are open go on. Throws where TLS cannot use it, and changes nothing then. */
export const renewCertificate = (
  app: FastifyInstance,
  { key, cert }: { key: string; cert: string },
  clients: Clients | undefined,
): void => {
  const server = app.server as unknown as TLSServer
  server.setSecureContext(secureContext({ key, cert }, clients))
}

/** Why a connection may not ask us; undefined where it may. */
const whyNotAdmitted = (socket: TLSSocket, { names }: Clients): string | undefined => {
  if (!socket.authorized) return 'it shows no client certificate of the CA that we were given'
  const { subject, subjectaltname = '' } = socket.getPeerCertificate()
  const own = [subject.CN, ...subjectaltname.split(', ').map((name) => name.replace(/^DNS:/, ''))]
  return names.length === 0 || names.some((name) => own.includes(name))
    ? undefined
    : 'its client certificate has none of the names that may ask'
}

/** How long the answer may take, out of `?timeout=5s`, which the API server sends with each request. In milliseconds. */
export const reviewDeadline = (timeout: unknown): number => {
  const [, digits, unit] = /^(\d{1,6})(ms|s)$/.exec(typeof timeout === 'string' ? timeout : '') ?? []
  const asked = digits === undefined ? defaultTimeoutSeconds * 1000 : Number(digits) * (unit === 'ms' ? 1 : 1000)
  const given = Math.min(asked, maxTimeoutSeconds * 1000)
  return Math.ceil(Math.max(given - marginMilliseconds, given / 2))
}

/** An answer that is no review, as a v1 Status: of that the API server passes the message on to whoever waits for it. */
const refuse = (reply: FastifyReply, code: number, message: string): FastifyReply =>
  reply.code(code).send({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code })

/** Our own trouble is no verdict: with Retry-After the API server sends the same request again (client-go rest/with_retry.go). */
const comeAgain = (reply: FastifyReply, why: string): FastifyReply =>
  refuse(reply.header('retry-after', '1'), 503, `meshvip cannot answer now: ${why}`)

/** Asking again would not help: the failure policy of the webhook decides what becomes of the request. */
const giveUp = (reply: FastifyReply, why: string): FastifyReply => refuse(reply, 500, `meshvip cannot answer: ${why}`)

/** What became of a review, beside `allowed` and `denied`: allowed unjudged, no answer for now, no answer at all. */
type Verdict = 'allowed' | 'denied' | 'unhandled' | 'unavailable' | 'failed'

const verdictOf = ({ allowed, isUnhandled }: Answer): Verdict =>
  isUnhandled ? 'unhandled' : allowed ? 'allowed' : 'denied'

type Webhook = keyof typeof webhooks

/** Writes down what became of a review: a log line, which never holds the object, and the metrics. */
const recorder =
  ({ logger, metrics }: Pick<WebhookOptions, 'logger' | 'metrics'>, webhook: Webhook, review: AdmissionRequest) =>
  (verdict: Verdict, milliseconds: number, answer: Answer | undefined, error?: unknown): void => {
    const dryRun = review.dryRun ?? false
    const outcomes = answer?.outcomes ?? []
    metrics.seconds.observe({ webhook }, milliseconds / 1000)
    metrics.reviews.inc({ webhook, operation: review.operation, verdict, dry_run: String(dryRun) })
    for (const { rule, action } of outcomes) metrics.findings.inc({ rule, action })
    const line = {
      webhook,
      uid: shownName(review.uid),
      kind: shownName(review.kind.kind),
      object: shownName(nameOf(review)),
      operation: review.operation,
      dryRun,
      user: review.userInfo?.username === undefined ? undefined : shownName(review.userInfo.username),
      verdict,
      rules: [...new Set(outcomes.map(({ rule, action }) => `${rule}:${action}`))],
      address: answer?.auditAnnotations.address,
      released: answer?.auditAnnotations.released,
      milliseconds: Math.round(milliseconds * 10) / 10,
    }
    if (error !== undefined) logger.error({ ...line, err: error }, 'review')
    else if (verdict === 'unhandled') logger.warn(line, 'review of a kind without rules')
    else logger.info(line, 'review')
  }

/** The HTTPS server that the API server calls: POST /mutate and POST /validate. Not listening yet. */
export const createWebhookServer = (options: WebhookOptions): FastifyInstance => {
  const { backend, policy, metrics, logger, state, clients } = options
  const load = new Load(options.capacity)
  /** What each request takes of the capacity. */
  const shares = new WeakMap<object, Share>()
  const app: FastifyInstance = Fastify({
    // HTTP/1.1 only: it is all that the API server speaks to a webhook in a cluster.
    https: {
      ...secureContext(options.tls, clients),
      // Whom we do not know is told so, which a broken handshake would not.
      ...(clients === undefined ? {} : { requestCert: true, rejectUnauthorized: false }),
      headersTimeout: receiveTimeout,
      connectionsCheckingInterval: 1_000,
    },
    bodyLimit,
    // Longer than the 90 s that the API server keeps an idle connection, or it would now and then write into one just closed.
    keepAliveTimeout: 120_000,
    requestTimeout: receiveTimeout,
    // Our own 503 has the Retry-After that fastify's lacks.
    return503OnClosing: false,
  })

  // Whatever its content type says, a body is a review or is answered as none: an HTTP error would be a way around us.
  app.addHook('onRequest', async (request, reply) => {
    const why = clients && whyNotAdmitted(request.raw.socket as TLSSocket, clients)
    if (why !== undefined) {
      logger.warn({ address: request.ip, why }, 'somebody who may not ask')
      // Its body is not read.
      return refuse(reply.header('connection', 'close'), 403, `meshvip does not answer this client: ${why}`)
    }
    request.headers['content-type'] = 'application/json'
    if (state() !== 'serving') reply.header('connection', 'close')
    const share = load.begin()
    shares.set(request.raw, share)
    reply.raw.once('close', () => share.end())
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (request: FastifyRequest, payload: IncomingMessage) =>
    readBody(payload, bodyLimit, shares.get(request.raw) as Share),
  )

  const answerReview = async (webhook: Webhook, review: AdmissionRequest, timeout: unknown, reply: FastifyReply) => {
    const record = recorder(options, webhook, review)
    const started = performance.now()
    const signal = AbortSignal.timeout(reviewDeadline(timeout))
    try {
      if (state() === 'away') {
        record('unavailable', performance.now() - started, undefined)
        return comeAgain(reply, 'it is starting or stopping')
      }
      const answer = await webhooks[webhook](review, backend, { policy: policy(), signal })
      record(verdictOf(answer), performance.now() - started, answer)
      return reply.send(formatReview(review.uid, answer))
    } catch (error) {
      const milliseconds = performance.now() - started
      const inVain = !signal.aborted && !(error instanceof ApiError && error.isTransient)
      record(inVain ? 'failed' : 'unavailable', milliseconds, undefined, error)
      if (signal.aborted) return comeAgain(reply, 'the cluster did not answer in time')
      if (!inVain) return comeAgain(reply, 'the cluster cannot be read')
      return error instanceof ApiError
        ? giveUp(reply, `the cluster refuses to be read: ${error.message}`)
        : giveUp(reply, `a defect; its log has the reason under the uid ${review.uid}`)
    }
  }

  const answer = async (webhook: Webhook, request: FastifyRequest, reply: FastifyReply) => {
    const parsed = parseReview(String(request.body))
    if ('problem' in parsed) {
      metrics.reviews.inc({ webhook, operation: 'none', verdict: 'unreadable', dry_run: 'false' })
      logger.warn({ webhook, uid: shownName(parsed.uid), problem: parsed.problem }, 'no review')
      return reply.send(formatReview(parsed.uid, deny(`meshvip cannot read this request: ${parsed.problem}`)))
    }
    metrics.inFlight.inc()
    const { timeout } = request.query as { timeout?: unknown }
    return answerReview(webhook, parsed.request, timeout, reply).finally(() => metrics.inFlight.dec())
  }

  app.post('/mutate', (request, reply) => answer('mutate', request, reply))
  app.post('/validate', (request, reply) => answer('validate', request, reply))
  // It says that we are reached, and that is all that it says.
  app.post('/probe', (request, reply) => {
    const parsed = parseReview(String(request.body))
    return reply.send(formatReview('problem' in parsed ? parsed.uid : parsed.request.uid, deny(probeAnswer)))
  })

  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    if (error instanceof Overload) {
      metrics.overload.inc()
      return comeAgain(reply, 'it has too much to do')
    }
    // What the sender did wrong. The rest is a defect of ours.
    const { statusCode = 500 } = error
    const unreadable = error instanceof UnreadableBody || (statusCode >= 400 && statusCode < 500)
    logger[unreadable ? 'warn' : 'error']({ err: error, url: request.url }, 'no review')
    return unreadable
      ? reply.code(200).send(formatReview('', deny(`meshvip cannot read this request: ${error.message}`)))
      : giveUp(reply, 'a defect; its log has the reason')
  })
  app.setNotFoundHandler((request, reply) =>
    refuse(reply, 404, `nothing is served at ${request.method} ${request.url}: POST a review to /mutate or /validate`),
  )
  return app
}
