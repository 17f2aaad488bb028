/**
 * Both endpoints under reviews that nobody should send, or nobody could. MESHVIP_RUNS sets how many each property is given; with it
 * a hunt takes as long as it takes. Failures print the seed and the smallest case; what was admitted before a case stays in the
 * cluster, so that another order may be another case.
 */
import { Agent } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Backend } from '../../src/admission/backend.ts'
import { mutate } from '../../src/admission/mutate.ts'
import type { AdmissionRequest } from '../../src/admission/review.ts'
import { validate } from '../../src/admission/validate.ts'
import { canonicalAddress } from '../../src/api/address.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { type ServeOptions, serve } from '../../src/server/serve.ts'
import { bodyLimit } from '../../src/server/webhook.ts'
import { inPool } from '../../src/vip/pools.ts'
import { memory, under } from '../support/backends.ts'
import { startFakeApiServer } from '../support/fake-api-server.ts'
import {
  type Answered,
  addTo,
  bodyOf,
  exchange,
  hostileCluster,
  misshapenReviews,
  plausibleReviews,
  post,
  services,
  wrongIn,
} from '../support/hostile.ts'
import { postOverTls } from '../support/https.ts'
import { service, virtualService } from '../support/objects.ts'
import { requestFor, responseIn, reviewOf, updateOf } from '../support/reviews.ts'

const hunt = process.env.MESHVIP_RUNS
// A busy machine takes its time.
t.setTimeout(hunt === undefined ? 180_000 : 0)

/** How often a property is tried: on a slow machine less often than that, in a hunt as often as it says. */
const runs = (numRuns: number) =>
  hunt === undefined ? { numRuns, interruptAfterTimeLimit: 5_000 } : { numRuns: Number(hunt) }

/**
 * Milliseconds that an answer may take of the processor, and that it may take on a machine with other work. What counts how often each line
 * is run makes it some times as long.
 */
const limits = { work: process.env._TAPJS_PROCESSINFO_COVERAGE_ === '1' ? 4_000 : 1_000, wait: 10_000 }

type Server = { url: string; ca: string; agent: Agent; errors: string[] }

/** The server as it is run, with what it logs as errors. */
const start = async (t: Test, options: Partial<ServeOptions>): Promise<Server> => {
  const errors: string[] = []
  const log = {
    write: (line: string) => {
      if ((JSON.parse(line) as { level: number }).level >= 50) errors.push(line)
    },
  }
  const serving = await serve({ listen: { host: '127.0.0.1', port: 0 }, log, ...options })
  const ca = serving.ca?.pem ?? ''
  const agent = new Agent({ ca, keepAlive: true })
  t.teardown(async () => {
    agent.destroy()
    await serving.close()
  })
  return { url: serving.url, ca, agent, errors }
}

/** Sends a body to an endpoint, and throws unless the answer is as every answer must be. */
const answer = async ({ url, agent, errors }: Server, path: string, body: string): Promise<Answered> => {
  const usage = process.cpuUsage()
  const started = performance.now()
  const answered = await postOverTls(`${url}${path}`, agent, body)
  const waited = performance.now() - started
  const { user, system } = process.cpuUsage(usage)
  const worked = (user + system) / 1000
  const isLate = worked >= limits.work || waited >= limits.wait
  const late = isLate ? [`it took ${Math.round(waited)} ms, ${Math.round(worked)} ms of them work`] : []
  const wrong = [...wrongIn(path, body, answered), ...late, ...errors.splice(0)]
  if (wrong.length > 0) throw new Error(`${path}: ${wrong.join('; ')}`)
  return answered
}

/** Sends a body to both endpoints. */
const answers = async (server: Server, body: string): Promise<[mutated: Answered, validated: Answered]> => [
  await answer(server, '/mutate', body),
  await answer(server, '/validate', body),
]

const good = bodyOf(reviewOf(requestFor(service('good'), { dryRun: true })))

/** A good review is answered as ever. */
const stillServes = async (t: Test, server: Server): Promise<void> => {
  const [mutated, validated] = await answers(server, good)
  t.match(responseIn(mutated.body), { allowed: true, patchType: 'JSONPatch' }, 'it still gives addresses')
  t.match(responseIn(validated.body), { allowed: false, status: { code: 403 } }, 'it still refuses')
}

const standalone = t.testdir({ 'cluster.json': JSON.stringify({ kind: 'List', items: hostileCluster }) })
const server = await start(t, { standalone })

t.test('whatever a review says of an object, it is answered', async (t) => {
  await fc.assert(
    fc.asyncProperty(plausibleReviews, async (review) => {
      await answers(server, bodyOf(review))
    }),
    runs(300),
  )
  await stillServes(t, server)
})

t.test('whatever stands where in a review, it is answered', async (t) => {
  await fc.assert(
    fc.asyncProperty(misshapenReviews, async (body) => {
      await answers(server, body)
    }),
    runs(400),
  )
  await stillServes(t, server)
})

t.test('a live cluster is asked for nothing that makes it fail', async (t) => {
  const api = await startFakeApiServer(t)
  api.put(...hostileCluster)
  const kubeconfig = `${t.testdir({ kubeconfig: api.kubeconfig })}/kubeconfig`
  const live = await start(t, { kubeconfig })
  // Of what a start asks for, this alone is not as below.
  while (!api.log.includes('GET /version')) await sleep(1)
  api.requests.length = 0
  const paths = /^\/api(s\/[a-z0-9.]+)?\/v1(\/namespaces\/[a-z0-9.-]+)?\/[a-z]+(\/[a-z0-9.-]+)?$/
  await fc.assert(
    fc.asyncProperty(fc.oneof(plausibleReviews.map(bodyOf), misshapenReviews), async (body) => {
      await answers(live, body)
      const odd = api.requests.splice(0).filter(({ path }) => !paths.test(path))
      if (odd.length > 0) throw new Error(`it asked for ${odd.map(({ path }) => path)}`)
    }),
    runs(80),
  )
  await stillServes(t, live)
})

/** Takes a Service through both webhooks as the API server does. What is stored; undefined where it is refused. */
const admit = async (backend: Backend, request: AdmissionRequest): Promise<unknown> => {
  const dry = await mutate({ ...request, dryRun: true }, backend, under())
  const { patch, auditAnnotations } = await mutate(request, backend, under())
  const retried = await mutate(request, backend, under())
  if (!isDeepStrictEqual([dry.patch, retried.patch], [patch, patch])) {
    throw new Error(`a dry run, an apply and its retry differ: ${JSON.stringify([dry.patch, patch, retried.patch])}`)
  }
  const object = addTo(request.object, patch)
  const { allowed, outcomes } = await validate({ ...request, object }, backend, under())
  const taken = outcomes.filter(({ rule, action }) => action === 'deny' && rule.startsWith('service-vip-'))
  if (auditAnnotations.address !== undefined && taken.length > 0) {
    throw new Error(`it is given ${auditAnnotations.address}, and refused for ${JSON.stringify(taken)}`)
  }
  return allowed ? object : undefined
}

type StoredService = { metadata: { namespace: string; name: string }; spec: { externalIPs?: string[] } }

t.test('an address that mutation gives is none that validation refuses', async () => {
  const pairs = fc.tuple(services, fc.option(services, { nil: undefined }), fc.boolean())
  await fc.assert(
    fc.asyncProperty(pairs, async ([object, oldObject, dryRun]) => {
      const request = requestFor(object, {
        operation: oldObject === undefined ? 'CREATE' : 'UPDATE',
        oldObject,
        dryRun,
      })
      await admit(memory(...hostileCluster), request)
    }),
    runs(200),
  )
})

t.test('whatever is applied and deleted in whatever order, no two Services have one address of the pool', async () => {
  const steps = fc.array(
    fc.record({
      does: fc.constantFrom('apply', 'apply', 'apply', 'delete'),
      namespace: fc.constantFrom('shop', 'plain'),
      name: fc.constantFrom('orders', 'a', 'b'),
      object: services,
      dryRun: fc.boolean(),
    }),
    { minLength: 1, maxLength: 12 },
  )
  const ofOthers = ['240.240.0.2', '240.240.0.3', '240.240.0.9', '240.240.1.7']
  await fc.assert(
    fc.asyncProperty(steps, async (steps) => {
      const backend = memory(...hostileCluster)
      const stored = new Map<string, StoredService>()
      for (const { does, namespace, name, object, dryRun } of steps) {
        const key = `${namespace}/${name}`
        const { labels, ownerReferences } = object.metadata
        const applied = { ...object, metadata: { namespace, name, labels, ownerReferences } }
        if (does === 'delete') {
          await validate(requestFor(applied, { operation: 'DELETE', object: null }), backend, under())
          stored.delete(key)
          continue
        }
        const oldObject = stored.get(key)
        const operation = oldObject === undefined ? 'CREATE' : 'UPDATE'
        const admitted = await admit(backend, requestFor(applied, { operation, oldObject, dryRun }))
        if (admitted !== undefined && !dryRun) stored.set(key, admitted as StoredService)
        const held = [...stored.values()].flatMap(({ spec }) => (spec.externalIPs ?? []).map(canonicalAddress))
        const ofPool = held.filter((address) => inPool(defaultPolicy.pools, address))
        const twice = ofPool.filter((address, index) => ofPool.indexOf(address) !== index || ofOthers.includes(address))
        if (twice.length > 0) throw new Error(`${twice} are held twice: ${JSON.stringify([...stored.values()])}`)
      }
    }),
    runs(100),
  )
})

const many = <T>(count: number, item: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => item(index))

const routes = (count: number, route: (index: number) => object) =>
  virtualService('orders', { hosts: ['orders'], gateways: ['mesh'], http: many(count, route) })

t.test('much of something is answered in time', async (t) => {
  const tenThousand = 10_000
  const megabyte = 1_000_000
  const ports = (count: number) => service('p', { ports: many(count, () => ({ port: 80 })) })
  const cases: [what: string, request: AdmissionRequest][] = [
    ['ports', requestFor(service('p', { ports: many(tenThousand, (port) => ({ port })) }))],
    ['wrong ports', requestFor(ports(tenThousand))],
    ['wrong ports, as before', updateOf(ports(tenThousand), ports(tenThousand + 1))],
    ['addresses', requestFor(service('p', { externalIPs: many(tenThousand, (i) => `10.0.${i >> 8}.${i & 255}`) }))],
    [
      'addresses of the pool',
      requestFor(service('p', { externalIPs: many(tenThousand, (i) => `240.240.${i >> 8}.${i & 255}`) })),
    ],
    ['hosts', requestFor(virtualService('v', { hosts: many(2 * tenThousand, (i) => `h${i}`) }))],
    ['short hosts', requestFor(virtualService('v', { hosts: many(2 * tenThousand, (i) => `h${i}.shop`) }))],
    ['wildcards over nothing', requestFor(virtualService('v', { hosts: many(tenThousand, (i) => `*.h${i}.com`) }))],
    ['wildcards over all', requestFor(virtualService('v', { hosts: many(tenThousand, () => '*') }))],
    [
      'gateways',
      requestFor(virtualService('v', { hosts: ['orders'], gateways: many(5 * tenThousand, (i) => `g${i}`) })),
    ],
    ['routes', requestFor(routes(2 * tenThousand, (i) => ({ route: [{ destination: { host: `h${i}` } }] })))],
    [
      'destinations',
      requestFor(
        routes(1, () => ({ route: many(2 * tenThousand, (i) => ({ destination: { host: `h${i}` }, weight: 1 })) })),
      ),
    ],
    ['matches', requestFor(routes(1, () => ({ match: many(2 * tenThousand, (port) => ({ port })) })))],
    ['a long host', requestFor(virtualService('v', { hosts: ['h'.repeat(megabyte)] }))],
    ['a long host of control characters', requestFor(virtualService('v', { hosts: ['\u0007'.repeat(megabyte / 5)] }))],
    ['a host of many labels', requestFor(virtualService('v', { hosts: ['h.'.repeat(megabyte / 2)] }))],
    ['a long gateway', requestFor(virtualService('v', { hosts: ['orders'], gateways: ['/'.repeat(megabyte)] }))],
    [
      'a long destination',
      requestFor(routes(1, () => ({ route: [{ destination: { host: 'h.'.repeat(megabyte) } }] }))),
    ],
    ['long port names', requestFor(service('p', { ports: many(3, () => ({ name: '-'.repeat(megabyte), port: 80 })) }))],
    ['a long address', requestFor(service('p', { externalIPs: ['1.'.repeat(megabyte)] }))],
    ['a long IPv6 address', requestFor(service('p', { externalIPs: [`::${'f'.repeat(megabyte)}`] }))],
    ['a long name', requestFor(service('p'.repeat(megabyte), { ports: [{ port: 80 }] }))],
    ['a long uid', requestFor(service('p'), { uid: 'u'.repeat(megabyte) })],
    ['a long label', requestFor(service('p', {}, { labels: { ['l'.repeat(megabyte)]: 1 } }))],
    ['a long kind', requestFor({ ...service('p'), kind: 'k'.repeat(megabyte) })],
    [
      'labels',
      requestFor(service('p', {}, { labels: Object.fromEntries(many(2 * tenThousand, (i) => [`l${i}`, 'x'])) })),
    ],
  ]
  for (const [what, request] of cases) {
    const body = bodyOf(reviewOf({ ...request, dryRun: true }))
    // The first time pays for what the machine does beside, or has not compiled yet.
    await t.resolves(
      answers(server, body).catch(() => answers(server, body)),
      what,
    )
  }
  await stillServes(t, server)
})

t.test('a value of a hundred thousand levels is a value', async (t) => {
  const review = reviewOf(requestFor(virtualService('orders', { hosts: ['orders'], gateways: ['mesh'] })))
  const levels = 100_000
  const arrays = '['.repeat(levels) + ']'.repeat(levels)
  const objects = `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  const places = [
    '"admission.k8s.io/v1"',
    '"705ab4f5-6393-11e8-b7cc-42010a800002"',
    '"jane"',
    '"shop"',
    '["orders"]',
    '["mesh"]',
  ]
  const body = bodyOf(review)
  for (const deep of [arrays, objects]) {
    await answers(server, deep)
    await answers(server, '['.repeat(levels))
    for (const place of places) {
      if (!body.includes(place)) throw new Error(`${place} is not in ${body}`)
      await answers(server, body.replace(place, deep))
    }
  }
  await stillServes(t, server)
})

t.test('a review that is cut off anywhere is refused', async (t) => {
  for (let length = 0; length < good.length; length++) {
    for (const { body } of await answers(server, good.slice(0, length))) {
      const { allowed, status } = responseIn(body)
      if (allowed || !status?.message.startsWith('meshvip cannot read this request: ')) t.fail(good.slice(0, length))
    }
  }
  await stillServes(t, server)
})

/** Sends bytes to both endpoints, and throws unless both answers are as every answer must be. */
const answersToBytes = async (body: Buffer): Promise<Answered[]> => {
  const given: Answered[] = []
  for (const path of ['/mutate', '/validate']) {
    const [answer = { status: 0, body: 'nothing' }, ...more] = await exchange(server, post(path, body))
    const wrong = [...wrongIn(path, body.toString(), answer), ...server.errors.splice(0)]
    if (wrong.length > 0 || more.length > 0) throw new Error(`${path}: ${wrong.join('; ')} ${JSON.stringify(more)}`)
    given.push(answer)
  }
  return given
}

t.test('whatever bytes a body is made of, it is answered', async (t) => {
  const original = Buffer.from(good)
  const spoils = fc.array(
    fc.record({ at: fc.nat(original.length), bytes: fc.uint8Array({ maxLength: 4 }), cut: fc.nat(4) }),
    {
      minLength: 1,
      maxLength: 3,
    },
  )
  // As Latin-1, which a failure prints and which has each byte.
  const spoilt = spoils.map((spoils) =>
    spoils
      .reduce(
        (body, { at, bytes, cut }) => Buffer.concat([body.subarray(0, at), bytes, body.subarray(at + cut)]),
        original,
      )
      .toString('latin1'),
  )
  await fc.assert(
    fc.asyncProperty(spoilt, async (body) => {
      await answersToBytes(Buffer.from(body, 'latin1'))
    }),
    runs(60),
  )
  await stillServes(t, server)
})

t.test('a text that is no JSON in UTF-8 is refused, and a strange one read as JSON has it', async (t) => {
  const { uid } = requestFor(service('good'))
  const first = good.replace('"uid":', '"uid":"another","uid":')
  const cases: [what: string, body: string | Buffer, read: string | undefined][] = [
    ['a byte order mark', `\ufeff${good}`, undefined],
    ['UTF-16', Buffer.from(good, 'utf16le'), undefined],
    ['UTF-16 with its mark', Buffer.from(`\ufeff${good}`, 'utf16le'), undefined],
    ['a NUL before', `\0${good}`, undefined],
    ['a NUL after', `${good}\0`, undefined],
    ['a NUL in a string', good.replace('jane', 'ja\0ne'), undefined],
    ['a second review after', good + good, undefined],
    ['a comma after', `${good},`, undefined],
    ['a comment', `${good} // `, undefined],
    ['single quotes', good.replaceAll('"', "'"), undefined],
    ['white space only', ' \r\n\t', undefined],
    ['nothing', '', undefined],
    ['a list of reviews', `[${good}]`, undefined],
    ['a string', JSON.stringify(good), undefined],
    ['a number', '1', undefined],
    ['null', 'null', undefined],
    ['white space around', ` \r\n\t${good}\n `, uid],
    ['an escaped NUL in a string', good.replace('jane', 'ja\\u0000ne'), uid],
    ['a lone surrogate in a string', good.replace('jane', '\\ud800'), uid],
    ['a lone surrogate as uid', good.replace(/"uid":"[^"]*"/, '"uid":"\\udfff"'), '\udfff'],
    ['bytes in a string that are no UTF-8', Buffer.from(good.replace('jane', 'j\xff\xfe\xfd'), 'latin1'), uid],
    ['a key twice, of which the last counts', first, uid],
  ]
  for (const [what, body, read] of cases) {
    for (const answer of await answersToBytes(Buffer.from(body))) {
      const response = responseIn(answer.body)
      const unread = /^meshvip cannot read this request: /.test(response.status?.message ?? '')
      t.equal(unread, read === undefined, what)
      if (read !== undefined) t.equal(response.uid, read, what)
    }
  }
  await stillServes(t, server)
})

t.test('whatever HTTP says around a review, it is answered, or the connection ends', async (t) => {
  const path = '/mutate'
  const cut = (text: string, size: number) => text.match(new RegExp(`.{1,${size}}`, 'gs')) ?? []
  const chunk = (part: string) => `${part.length.toString(16)}\r\n${part}\r\n`
  const inChunks = (size: number, end = '0\r\n\r\n') => Buffer.from(cut(good, size).map(chunk).join('') + end)
  const chunked = (body: Buffer) => {
    const whole = post(path, body, { 'transfer-encoding': 'chunked' }).toString()
    return Buffer.from(whole.replace(/content-length: \d+\r\n/, ''))
  }
  const request = post(path, good)
  const text = request.toString()
  const plain = post(path, good, { connection: 'keep-alive' })
  const tooLong = `${good}${' '.repeat(bodyLimit - good.length + 1)}`
  async function* slowly() {
    for (const part of cut(text, Math.ceil(text.length / 8))) {
      yield Buffer.from(part)
      await sleep(50)
    }
  }
  type Said = 'admitted' | 'refused' | number
  const cases: [what: string, bytes: Buffer | AsyncIterable<Buffer>, expected: Said[], options?: { hangUp: true }][] = [
    ...[
      '',
      ';;;',
      'text/html',
      'application/json; charset=utf-16',
      'multipart/form-data',
      '__proto__',
      'x'.repeat(9000),
    ].map((type): (typeof cases)[number] => [
      `content type ${type}`,
      post(path, good, { 'content-type': type }),
      ['admitted'],
    ]),
    // What is decoded is not ours to say: the API server sends it as it is.
    ...['gzip', 'br, deflate', 'identity', 'rubbish'].map((coding): (typeof cases)[number] => [
      `coding ${coding}`,
      post(path, good, { 'content-encoding': coding }),
      ['admitted'],
    ]),
    ...[
      '',
      '0s',
      '-5s',
      '1ms',
      '301ms',
      '999999s',
      '1e9s',
      '9'.repeat(5000),
      '%',
      '%00',
      '1s&timeout=2s',
      '__proto__',
    ].map((time): (typeof cases)[number] => [
      `timeout ${time.slice(0, 20)}`,
      post(`${path}?timeout=${time}`, good),
      ['admitted'],
    ]),
    ['chunks', chunked(inChunks(7)), ['admitted']],
    ['chunks of one byte', chunked(inChunks(1)), ['admitted']],
    ['no chunk', chunked(Buffer.from('0\r\n\r\n')), ['refused']],
    ['a chunk without its size', chunked(Buffer.from(`zz\r\n${good}`)), [400]],
    ['chunks that break off', chunked(inChunks(7, '')), [400], { hangUp: true }],
    ['both framings', post(path, inChunks(7), { 'transfer-encoding': 'chunked' }), [400]],
    ['no length and no chunks', Buffer.from(text.replace(/content-length: .*/s, '\r\n')), ['refused']],
    // Its rest is no request.
    ['a length too short', post(path, good, { 'content-length': String(good.length - 9) }), [400]],
    [
      'a length too short, of two',
      Buffer.concat([post(path, good, { 'content-length': '9', connection: 'x' }), plain]),
      [400],
    ],
    ['a length too long', post(path, good, { 'content-length': String(good.length + 9) }), [400], { hangUp: true }],
    ['a negative length', post(path, good, { 'content-length': '-1' }), [400]],
    ['a length that is no number', post(path, good, { 'content-length': '9'.repeat(30) }), [400]],
    ['a length over the limit', post(path, good, { 'content-length': String(bodyLimit + 1) }), ['refused']],
    ['a body over the limit', post(path, tooLong), ['refused']],
    ['a body over the limit, in chunks', chunked(Buffer.from(chunk(tooLong) + chunk(''))), ['refused']],
    ['a body of the limit', post(path, tooLong.slice(0, bodyLimit)), ['admitted']],
    ['a slow body', slowly(), ['admitted']],
    ['a body that is awaited', post(path, good, { expect: '100-continue' }), [100, 'admitted']],
    ['another expectation', post(path, good, { expect: 'more' }), [417]],
    [
      'four requests at once',
      Buffer.concat([plain, post(path, '{', { connection: 'x' }), plain, request]),
      ['admitted', 'refused', 'admitted', 'admitted'],
    ],
    ['HTTP/1.0', Buffer.from(text.replace('HTTP/1.1', 'HTTP/1.0')), ['admitted']],
    ['HTTP/2', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), [400]],
    ['no HTTP', Buffer.from('\0\u0001\u0002\r\n\r\n'), [400]],
    ['no host', Buffer.from(text.replace('host: localhost\r\n', '')), [400]],
    ['headers over the limit', post(path, good, { 'x-much': 'x'.repeat(20_000) }), [431]],
    ['an upgrade', post(path, good, { connection: 'upgrade, close', upgrade: 'websocket' }), ['admitted']],
    ['another path', post('/mutate%2f', good), [404]],
    ['a path that is none', post('/mutate%', good), [400]],
  ]
  for (const [what, bytes, expected, options] of cases) {
    const answers = await exchange(server, bytes, options)
    const said = answers.map(({ status, body }): Said => {
      if (status !== 200) return status
      const { allowed, status: refusal } = responseIn(body)
      if (allowed) return 'admitted'
      return refusal?.code === 403 ? 'refused' : 0
    })
    t.strictSame(said, expected, what)
  }
  await stillServes(t, server)
})

t.test('whoever begins a request and does not end it keeps nobody waiting', async (t) => {
  const begun = post('/mutate', good).subarray(0, -20)
  const waiting = many(50, () => exchange(server, begun, { patience: 500 }))
  await stillServes(t, server)
  for (const answers of await Promise.all(waiting)) if (answers.length > 0) t.fail(JSON.stringify(answers))
})

t.test('a review that is answered leaves no memory behind', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const megabytes = () => {
    collect()
    return process.memoryUsage().heapUsed / 1024 / 1024
  }
  const bodies = fc.sample(fc.oneof(plausibleReviews.map(bodyOf), misshapenReviews), 150)
  const rounds = async (count: number) => {
    for (let round = 0; round < count; round++) for (const body of bodies) await answers(server, body)
  }
  // What is admitted enters the cluster: once only.
  await rounds(2)
  const before = megabytes()
  await rounds(4)
  const grown = megabytes() - before
  t.ok(grown < 2, `1,200 requests leave ${grown.toFixed(1)} MiB`)
})
