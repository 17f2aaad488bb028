import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { pino } from 'pino'
import t from 'tap'
import type { Backend } from '../../src/admission/backend.ts'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { createMetrics } from '../../src/server/metrics.ts'
import { bodyLimit, createWebhookServer, reviewDeadline, type State } from '../../src/server/webhook.ts'
import { memory } from '../support/backends.ts'
import { brokenDown, forbidden, startFakeApiServer } from '../support/fake-api-server.ts'
import { postOverTls } from '../support/https.ts'
import { CapturedLog } from '../support/log.ts'
import { claim, meshNamespace, service } from '../support/objects.ts'
import { patchIn, requestFor, responseIn, reviewOf } from '../support/reviews.ts'
import { liveBackendOf, startWebhookServer } from '../support/webhook-server.ts'

const request = requestFor(service('orders'))
const review = JSON.stringify(reviewOf(request))
const { uid } = request

const broken = (error: unknown): Backend => ({
  ...memory(),
  cluster: { ask: () => Promise.reject(error), decide: () => Promise.reject(error) },
})

t.test('a good virtual host is given its address', async (t) => {
  const webhook = await startWebhookServer(t)
  const answer = await webhook.review('/mutate?timeout=10s', request)
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-type'], /^application\/json/)
  const response = responseIn(answer.body)
  t.strictSame(patchIn(response), {
    patchType: 'JSONPatch',
    operations: [{ op: 'add', path: '/spec/externalIPs', value: ['240.240.225.190'] }],
  })
  t.strictSame({ uid: response.uid, allowed: response.allowed }, { uid, allowed: true })
  t.strictSame(response.auditAnnotations, { address: '240.240.225.190' })
})

t.test('a bad one is refused, for people and for machines', async (t) => {
  const webhook = await startWebhookServer(t)
  const bad = requestFor(service('orders', { ports: [{ name: 'http', port: 80 }] }))
  const answer = await webhook.review('/validate?timeout=10s', bad)
  t.equal(answer.statusCode, 200)
  const { allowed, status, auditAnnotations, ...rest } = responseIn(answer.body)
  t.equal(allowed, false)
  t.strictSame(rest, { uid })
  t.strictSame(auditAnnotations, { deny: 'service-port-80' })
  t.strictSame(
    { ...status, message: status?.message.split('\n')[0] },
    {
      status: 'Failure',
      code: 403,
      reason: 'Forbidden',
      message: 'Service shop/orders is refused for one reason:',
      details: {
        causes: [
          {
            reason: 'service-port-80',
            field: 'spec.ports[0].port',
            message:
              'port 80 is not for virtual hosts. Fix: use another port, such as 8080, here, in match.port and in the callers',
          },
        ],
      },
    },
  )
})

t.test('what is no review is refused, never failed', async (t) => {
  const webhook = await startWebhookServer(t)
  const cases: [what: string, body: string, headers: Record<string, string> | undefined, uid: string][] = [
    ['an empty body', '', undefined, ''],
    ['no body and no content type', '', {}, ''],
    ['no JSON', 'apiVersion: v1', undefined, ''],
    ['another object', '{"kind":"Pod"}', undefined, ''],
    ['another version', review.replace('admission.k8s.io/v1', 'admission.k8s.io/v2'), undefined, uid],
    ['no uid', review.replace('"uid"', '"id"'), undefined, ''],
    ['a body over the limit', `${review}${' '.repeat(bodyLimit)}`, undefined, ''],
  ]
  for (const [what, body, headers, expectedUid] of cases) {
    for (const url of ['/mutate', '/validate']) {
      const answer = await webhook.send(url, body, headers)
      t.equal(answer.statusCode, 200, what)
      const response = responseIn(answer.body)
      t.strictSame({ uid: response.uid, allowed: response.allowed }, { uid: expectedUid, allowed: false }, what)
      t.match(response.status, { code: 403, message: /^meshvip cannot read this request: / }, what)
    }
  }
})

t.test('a review is a review whatever its content type', async (t) => {
  const webhook = await startWebhookServer(t)
  for (const type of [
    'application/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'rubbish',
    'a/b/c',
    undefined,
  ]) {
    const answer = await webhook.send('/mutate', review, type === undefined ? {} : { 'content-type': type })
    t.equal(responseIn(answer.body).allowed, true, type ?? 'none')
  }
})

t.test('a key __proto__ is no reason to fail', async (t) => {
  const webhook = await startWebhookServer(t)
  const hostile = review.replace(
    '"metadata":{',
    '"metadata":{"annotations":{"__proto__":"x"},"__proto__":{"name":"y"},',
  )
  const answer = await webhook.send('/mutate', hostile)
  t.equal(answer.statusCode, 200)
  t.strictSame(responseIn(answer.body).auditAnnotations, { address: '240.240.225.190' })
})

t.test('a review of several megabytes is read', async (t) => {
  const webhook = await startWebhookServer(t)
  const object = service('orders', {}, { annotations: { note: 'x'.repeat(6 * 1024 * 1024) } })
  t.equal(responseIn((await webhook.review('/mutate', requestFor(object))).body).allowed, true)
})

t.test('nothing else is served', async (t) => {
  const webhook = await startWebhookServer(t)
  const answer = await webhook.send('/mutate/orders', review)
  t.equal(answer.statusCode, 404)
  t.match(JSON.parse(answer.body), {
    message: 'nothing is served at POST /mutate/orders: POST a review to /mutate or /validate',
  })
})

t.test('our own trouble is no verdict', async (t) => {
  t.test('what is too much at a time is asked to come again, and taken when it does', async (t) => {
    const answered = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const backend = memory(meshNamespace('shop'))
    const cluster: Backend['cluster'] = {
      ...backend.cluster,
      decide: async (question, isGrave, signal) => {
        asked.resolve()
        await answered.promise
        return backend.cluster.decide(question, isGrave, signal)
      },
    }
    const webhook = await startWebhookServer(t, {
      backend: { ...backend, cluster },
      capacity: { reviews: 1, bytes: 1 },
    })
    const first = webhook.review('/validate', request)
    await asked.promise
    const second = await webhook.review('/validate', request)
    t.equal(second.statusCode, 503)
    t.equal(second.headers['retry-after'], '1')
    t.match(second.body, 'meshvip cannot answer now: it has too much to do')
    t.match(await webhook.metrics.registry.metrics(), '\nmeshvip_overload_total 1\n')
    answered.resolve()
    t.equal((await first).statusCode, 200)
    t.equal((await webhook.review('/validate', request)).statusCode, 200)
  })

  t.test('before it is ready, and after, the API server is asked to come again', async (t) => {
    let state: State = 'away'
    const webhook = await startWebhookServer(t, { state: () => state })
    const answer = await webhook.review('/validate', request)
    t.strictSame([answer.statusCode, answer.headers['retry-after'], answer.headers.connection], [503, '1', 'close'])
    t.match(JSON.parse(answer.body), {
      kind: 'Status',
      message: 'meshvip cannot answer now: it is starting or stopping',
    })
    t.match(webhook.log.lines, [{ uid, verdict: 'unavailable' }])
    state = 'serving'
    const served = await webhook.review('/validate', request)
    t.strictSame([served.statusCode, served.headers.connection], [200, 'keep-alive'])
  })

  t.test('who only announces a large body takes nothing from others', async (t) => {
    const tls = await makeServingCertificate(['127.0.0.1'], new Date())
    const [logger, metrics] = [pino(new CapturedLog()), createMetrics()]
    const app = createWebhookServer({
      backend: memory(),
      policy: () => defaultPolicy,
      metrics,
      logger,
      tls,
      state: () => 'serving',
      capacity: { reviews: 1, bytes: 2 * review.length },
    })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const silent = connect({ port, host: '127.0.0.1', ca: tls.ca })
    t.teardown(async () => {
      silent.destroy()
      await app.close()
    })
    silent.write(`POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${bodyLimit}\r\n\r\n`)
    await once(app.server, 'request')
    for (let n = 0; n < 2; n++) {
      t.equal((await postOverTls(`https://127.0.0.1:${port}/validate`, tls.ca, review)).status, 200)
    }
  })

  t.test('so it is while the cluster answers with errors', async (t) => {
    const server = await startFakeApiServer(t)
    server.intercept = () => brokenDown
    const webhook = await startWebhookServer(t, { backend: liveBackendOf(server) })
    for (const url of ['/mutate', '/validate']) {
      const answer = await webhook.review(url, request)
      t.strictSame([answer.statusCode, answer.headers['retry-after']], [503, '1'])
      t.match(JSON.parse(answer.body), {
        kind: 'Status',
        message: 'meshvip cannot answer now: the cluster cannot be read',
      })
    }
    t.match(webhook.log.lines, [
      { level: 50, uid, verdict: 'unavailable', err: { type: 'ApiError', message: /500/ } },
      { level: 50, uid, verdict: 'unavailable' },
    ])
  })

  t.test('so it is while the cluster cannot be reached', async (t) => {
    const server = await startFakeApiServer(t)
    const backend = liveBackendOf(server)
    await server.close()
    t.teardown(() => server.listen())
    const webhook = await startWebhookServer(t, { backend })
    const answer = await webhook.review('/validate', request)
    t.strictSame([answer.statusCode, answer.headers['retry-after']], [503, '1'])
    t.match(JSON.parse(answer.body), {
      kind: 'Status',
      message: 'meshvip cannot answer now: the cluster cannot be read',
    })
  })

  t.test('so it is when the time that the API server gives is over', async (t) => {
    const server = await startFakeApiServer(t)
    server.intercept = () => new Promise(() => {})
    const webhook = await startWebhookServer(t, { backend: liveBackendOf(server) })
    const answer = await webhook.review('/validate?timeout=300ms', request)
    t.strictSame([answer.statusCode, answer.headers['retry-after']], [503, '1'])
    t.match(JSON.parse(answer.body), {
      message: 'meshvip cannot answer now: the cluster did not answer in time',
    })
  })

  t.test('what the cluster refuses for good is an error, which says so', async (t) => {
    const server = await startFakeApiServer(t)
    server.intercept = () => forbidden
    const webhook = await startWebhookServer(t, { backend: liveBackendOf(server) })
    const answer = await webhook.review('/validate', request)
    t.strictSame([answer.statusCode, answer.headers['retry-after']], [500, undefined])
    t.match(JSON.parse(answer.body), {
      message: /^meshvip cannot answer: the cluster refuses to be read: GET .*: 403 /,
    })
    t.match(webhook.log.lines, [{ level: 50, uid, verdict: 'failed' }])
  })

  t.test('a defect is an error, with the uid in its answer and in the log', async (t) => {
    const webhook = await startWebhookServer(t, { backend: broken(new Error('a defect')) })
    const answer = await webhook.review('/validate', request)
    t.equal(answer.statusCode, 500)
    t.equal(answer.headers['retry-after'], undefined)
    t.match(JSON.parse(answer.body), {
      message: `meshvip cannot answer: a defect; its log has the reason under the uid ${uid}`,
    })
    t.match(webhook.log.lines, [{ level: 50, uid, err: { message: 'a defect', stack: /webhook\.test\.ts/ } }])
  })
})

t.test('the time for an answer is what the API server gives, less a margin', async (t) => {
  const cases: [timeout: unknown, milliseconds: number][] = [
    ['10s', 9750],
    ['30s', 29_750],
    ['1s', 750],
    ['400ms', 200],
    ['600ms', 350],
    [undefined, 9750],
    ['', 9750],
    ['soon', 9750],
    ['-1s', 9750],
    ['1m30s', 9750],
    ['99999999s', 9750],
    [['1s', '2s'], 9750],
  ]
  for (const [timeout, milliseconds] of cases) t.equal(reviewDeadline(timeout), milliseconds, String(timeout))
})

t.test('what is no JSON is not repeated in the log', async (t) => {
  const webhook = await startWebhookServer(t)
  await webhook.send('/validate', '{"password": hunter2}')
  t.notMatch(JSON.stringify(webhook.log.lines), /hunter2|assword/)
  t.match(webhook.log.lines, [{ msg: 'no review', problem: 'the body of 21 characters is no JSON' }])
})

t.test('the log has one line a review, with what was decided and never the object', async (t) => {
  const webhook = await startWebhookServer(t)
  const secret = (name: string, spec?: object) =>
    requestFor(service(name, spec, { annotations: { secret: 'hunter2' } }))
  await webhook.review('/mutate', secret('orders'))
  await webhook.review('/validate', { ...secret('carts', { ports: [{ port: 80 }, { port: 80 }] }), dryRun: true })
  const { dryRun: _, userInfo: __, name: ___, namespace: ____, ...bare } = secret('web', { selector: { a: 'b' } })
  await webhook.review('/validate', bare)
  await webhook.send('/validate', review.replace('"uid"', '"id"').replace('3111', '3111,"secret":"hunter2"'))

  t.notMatch(webhook.log.text, 'hunter2')
  t.notMatch(webhook.log.text, 'metadata')
  const [mutated, refused, admitted, unreadable, ...rest] = webhook.log.lines.map(({ time, milliseconds, ...line }) => {
    t.type(time, 'number')
    return line
  })
  t.strictSame(rest, [])
  t.strictSame(mutated, {
    level: 30,
    msg: 'review',
    webhook: 'mutate',
    uid,
    kind: 'Service',
    object: 'shop/orders',
    operation: 'CREATE',
    dryRun: false,
    user: 'jane',
    verdict: 'allowed',
    rules: [],
    address: '240.240.225.190',
  })
  t.strictSame(refused, {
    level: 30,
    msg: 'review',
    webhook: 'validate',
    uid,
    kind: 'Service',
    object: 'shop/carts',
    operation: 'CREATE',
    dryRun: true,
    user: 'jane',
    verdict: 'denied',
    rules: ['service-port-name:deny', 'service-port-80:deny'],
  })
  t.strictSame(admitted, {
    level: 30,
    msg: 'review',
    webhook: 'validate',
    uid,
    kind: 'Service',
    object: '/',
    operation: 'CREATE',
    dryRun: false,
    verdict: 'allowed',
    rules: [],
  })
  t.strictSame(unreadable, {
    level: 40,
    msg: 'no review',
    webhook: 'validate',
    uid: '',
    problem: "the body is no AdmissionReview of admission.k8s.io/v1: /request must have required property 'uid'",
  })
})

t.test('metrics', async (t) => {
  const values = async (webhook: Awaited<ReturnType<typeof startWebhookServer>>, name: string) => {
    const { values } = (await webhook.metrics.registry.getSingleMetric(name)?.get()) ?? { values: [] }
    return values.filter(({ value }) => value !== 0).map(({ labels, value }) => ({ ...labels, value }))
  }

  t.test('what alerts rest on is there from the start, at zero', async (t) => {
    const webhook = await startWebhookServer(t)
    const text = await webhook.metrics.registry.metrics()
    for (const name of ['mutate', 'validate']) {
      for (const verdict of ['allowed', 'denied', 'unavailable', 'failed']) {
        for (const operation of ['CREATE', 'UPDATE']) {
          const labels = `webhook="${name}",operation="${operation}",verdict="${verdict}",dry_run="false"`
          t.ok(text.includes(`\nmeshvip_reviews_total{${labels}} 0\n`), labels)
        }
      }
    }
    t.match(text, '\nmeshvip_reviews_in_flight 0\n')
    t.match(text, '\nprocess_cpu_seconds_total ')
  })

  t.test('reviews, their duration and their findings are counted', async (t) => {
    const webhook = await startWebhookServer(t, { backend: memory(claim('240.240.225.190', 'shop/orders')) })
    const bad = requestFor(
      service('carts', {
        ports: [
          { name: 'http', port: 80 },
          { name: 'grpc', port: 15010 },
        ],
      }),
    )
    await webhook.review('/mutate', request)
    await webhook.review('/mutate', { ...request, dryRun: true })
    await webhook.review('/mutate', bad)
    await webhook.review('/validate', requestFor(service('orders', { externalIPs: ['240.240.225.190'] })))
    await webhook.review('/validate', bad)
    await webhook.send('/validate', 'no review')

    const common = { operation: 'CREATE', dry_run: 'false' }
    t.strictSame(await values(webhook, 'meshvip_reviews_total'), [
      { ...common, webhook: 'mutate', verdict: 'allowed', value: 2 },
      { ...common, webhook: 'validate', verdict: 'allowed', value: 1 },
      { ...common, webhook: 'validate', verdict: 'denied', value: 1 },
      { ...common, webhook: 'mutate', verdict: 'allowed', dry_run: 'true', value: 1 },
      { ...common, operation: 'none', webhook: 'validate', verdict: 'unreadable', value: 1 },
    ])
    t.strictSame(await values(webhook, 'meshvip_findings_total'), [
      { rule: 'service-port-80', action: 'deny', value: 1 },
      { rule: 'service-reserved-port', action: 'warn', value: 1 },
    ])
    const text = await webhook.metrics.registry.metrics()
    t.match(text, '\nmeshvip_review_duration_seconds_count{webhook="mutate"} 3\n')
    t.match(text, '\nmeshvip_review_duration_seconds_count{webhook="validate"} 2\n')
  })

  t.test('a kind without rules is let through, with a line of its own in log and metrics', async (t) => {
    const webhook = await startWebhookServer(t)
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name: 'orders' } }
    const { body } = await webhook.review('/validate', requestFor(pod))
    t.match(responseIn(body), { allowed: true, warnings: [/^meshvip has no rules for Pod/] })
    t.match(webhook.log.lines, [
      { level: 40, msg: 'review of a kind without rules', kind: 'Pod', verdict: 'unhandled' },
    ])
    t.match(await values(webhook, 'meshvip_reviews_total'), [{ verdict: 'unhandled', value: 1 }])
  })

  t.test('what is under way is counted until it is answered', async (t) => {
    const server = await startFakeApiServer(t)
    server.put(meshNamespace('shop'))
    const seen = Promise.withResolvers<void>()
    const release = Promise.withResolvers<undefined>()
    server.intercept = () => {
      seen.resolve()
      return release.promise
    }
    const webhook = await startWebhookServer(t, { backend: liveBackendOf(server) })
    const answer = webhook.review('/mutate', request)
    await seen.promise
    t.strictSame(await values(webhook, 'meshvip_reviews_in_flight'), [{ value: 1 }])
    release.resolve(undefined)
    t.equal((await answer).statusCode, 200)
    t.strictSame(await values(webhook, 'meshvip_reviews_in_flight'), [])
  })

  t.test('what failed is under way no more, even where its counting failed', async (t) => {
    const webhook = await startWebhookServer(t)
    webhook.metrics.reviews.inc = () => {
      throw new Error('a defect')
    }
    const answer = await webhook.review('/validate', request)
    t.equal(answer.statusCode, 500)
    t.match(JSON.parse(answer.body), {
      kind: 'Status',
      message: 'meshvip cannot answer: a defect; its log has the reason',
    })
    t.strictSame(await values(webhook, 'meshvip_reviews_in_flight'), [])
    webhook.metrics.inFlight.inc()
    t.strictSame(await values(webhook, 'meshvip_reviews_in_flight'), [{ value: 1 }])
  })
})
