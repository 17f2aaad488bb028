import t from 'tap'
import { type Backend, liveBackend } from '../../src/admission/backend.ts'
import { mutate } from '../../src/admission/mutate.ts'
import type { AdmissionRequest, Answer } from '../../src/admission/review.ts'
import { validate } from '../../src/admission/validate.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { memory, under } from '../support/backends.ts'
import { forbidden, startFakeApiServer } from '../support/fake-api-server.ts'
import { claim, meshNamespace, service, serviceEntry, virtualService } from '../support/objects.ts'
import { requestFor, updateOf } from '../support/reviews.ts'

const run = (request: AdmissionRequest, backend: Backend, policy?: Policy): Promise<Answer> =>
  validate(request, backend, under(policy))

const withoutNames = ({ name: _, namespace: __, ...request }: AdmissionRequest): AdmissionRequest => request

const untouched = { allowed: true, warnings: [], outcomes: [], patch: [], auditAnnotations: {} }

const good = service('orders', { externalIPs: ['240.240.0.7'] })
const withClaim = () => memory(claim('240.240.0.7', 'shop/orders'))

/** The rules that found something, with what came of it. */
const found = ({ outcomes }: Answer) => outcomes.map(({ rule, action }) => `${rule}:${action}`)

const knows = (backend: Backend, name: string): Promise<boolean> =>
  backend.cluster.ask((view) => view.service({ namespace: 'shop', name }) !== undefined, AbortSignal.timeout(5000))

t.test('a good virtual host with its claimed address is admitted without a word', async (t) => {
  t.strictSame(await run(requestFor(good), withClaim()), untouched)
})

t.test('what there is nothing to judge in is admitted unseen, however bad', async (t) => {
  const bad = service('orders', { ports: [{ port: 80 }] })
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name: 'p' } }
  const cases: [what: string, request: AdmissionRequest][] = [
    ['an update that changes nothing', updateOf(bad, bad)],
    [
      'an update of what no rule reads',
      updateOf(bad, { ...bad, metadata: { ...bad.metadata, annotations: { note: 'x' }, resourceVersion: '7' } }),
    ],
    [
      'an object that is being deleted',
      requestFor(service('x', { ports: [{ port: 80 }] }, { deletionTimestamp: 'now' })),
    ],
    ['a subresource', updateOf(good, bad, { subResource: 'status' })],
    ['a connection', requestFor(bad, { operation: 'CONNECT' })],
    ['a deletion', { ...requestFor(bad), operation: 'DELETE', object: null, oldObject: bad }],
    ['a deletion without names', withoutNames({ ...requestFor(bad), operation: 'DELETE', object: null })],
  ]
  for (const [what, request] of cases) t.strictSame(await run(request, memory()), untouched, what)

  const foreign: [what: string, request: AdmissionRequest, warned: string][] = [
    ['another kind', requestFor(pod), 'Pod (core/v1)'],
    [
      "another group's Service",
      requestFor({ ...bad, apiVersion: 'serving.knative.dev/v1' }),
      'Service (serving.knative.dev/v1)',
    ],
    [
      'a subresource with a kind of its own',
      requestFor({ ...pod, apiVersion: 'v1', kind: 'ServiceProxyOptions' }),
      'ServiceProxyOptions (core/v1)',
    ],
  ]
  for (const [what, request, kind] of foreign) {
    t.strictSame(
      await run(request, memory()),
      {
        ...untouched,
        isUnhandled: true,
        warnings: [`meshvip has no rules for ${kind}: its webhook configuration sends it more than it should`],
      },
      what,
    )
  }
})

t.test(
  'an object is the one that its request names, and what its metadata says only where the request says nothing',
  async (t) => {
    const nameless = service('', {}, { namespace: undefined, name: undefined })
    const named = /^Service shop\/orders is refused/
    t.match((await run({ ...requestFor(service('orders')), object: nameless }, memory())).message, named)
    t.match((await run({ ...requestFor(service('orders')), object: service('other') }, memory())).message, named)
    t.match((await run(withoutNames(requestFor(service('orders'))), memory())).message, named)
  },
)

t.test('an object that is not as its API defines it is refused, with the field', async (t) => {
  const cases: [object: unknown, problem: string][] = [
    [service('orders', { ports: 'all' }), 'spec.ports must be a list'],
    [service('orders', { ports: [80] }), 'spec.ports[0] must be an object'],
    [service('orders', { externalIPs: [7] }), 'spec.externalIPs[0] must be a string'],
    [null, 'the object must be an object'],
    ['orders', 'the object must be an object'],
    [{ metadata: [] }, 'metadata must be an object'],
  ]
  for (const [object, problem] of cases) {
    const answer = await run({ ...requestFor(service('orders')), object }, memory())
    t.equal(answer.allowed, false)
    t.equal(answer.message, `Service shop/orders cannot be read: ${problem}`)
  }
})

t.test('what is neither readable nor malformed is our own defect, and no verdict', async (t) => {
  const trap = {
    get metadata(): object {
      throw new Error('a defect')
    },
  }
  await t.rejects(run({ ...requestFor(service('orders')), object: trap }, memory()), { message: 'a defect' })
  await t.rejects(run({ ...requestFor(service('orders')), oldObject: trap }, memory()), { message: 'a defect' })
})

t.test('a denial lists all findings in one answer, ordered by field', async (t) => {
  const bad = service('orders', {
    ports: [
      { name: 'http', port: 80 },
      { name: 'web', port: 15090 },
    ],
  })
  const answer = await run(requestFor(bad), memory())
  t.equal(answer.allowed, false)
  t.equal(
    answer.message,
    [
      'Service shop/orders is refused for 3 reasons:',
      '- spec.ports[0].port: port 80 is not for virtual hosts: sidecars mix the routes of every VirtualService on the mesh into port 80. Fix: use another port, such as 8080, here, in match.port and in the callers [service-port-80] https://meshvip.dev/rules/service-port-80',
      '- spec.ports[1].name: the name "web" of port 15090 says no protocol: Istio has to guess the protocol from the first bytes, and a wrong guess loses the routes. Fix: put the protocol first, as in name: http-web (or grpc, tcp, tls, ...) [service-port-name] https://meshvip.dev/rules/service-port-name',
      "- spec.ports[1].port: port 15090 is used by Envoy's Prometheus metrics: every pod of the mesh listens there itself, and what callers reach depends on mode and release. Fix: use another port, such as 8080, here, in match.port and in the callers [service-reserved-port] https://meshvip.dev/rules/service-reserved-port",
      'It counts as a virtual host, since it is a ClusterIP Service without selector in a namespace of the mesh. If it is none, label it meshvip.dev/virtual-host: "false".',
    ].join('\n'),
  )
  t.strictSame(answer.warnings, [])
  t.strictSame(answer.auditAnnotations, { deny: 'service-port-80,service-port-name,service-reserved-port' })
})

t.test('what is milder than a denial is a warning, or only in the audit log', async (t) => {
  const policy = {
    ...defaultPolicy,
    actions: new Map([...defaultPolicy.actions, ['service-port-80', { virtualHost: 'audit', other: 'audit' }]]),
  } as Policy
  const odd = service('orders', {
    externalIPs: ['240.240.0.7'],
    ports: [
      { name: 'http', port: 80 },
      { name: 'grpc', port: 15010 },
      { name: 'grpc-b', port: 15012 },
    ],
  })
  const answer = await run(requestFor(odd), withClaim(), policy)
  t.equal(answer.allowed, true)
  t.strictSame(found(answer), ['service-port-80:audit', 'service-reserved-port:warn', 'service-reserved-port:warn'])
  t.strictSame(answer.warnings, [
    "spec.ports[1].port: port 15010 is used by istiod's plaintext XDS: it clashes wherever istiod runs. Fix: use another port, such as 8080, here, in match.port and in the callers [service-reserved-port]",
    "spec.ports[2].port: port 15012 is used by istiod's XDS: it clashes wherever istiod runs. Fix: use another port, such as 8080, here, in match.port and in the callers [service-reserved-port]",
  ])
  t.strictSame(answer.auditAnnotations, { warn: 'service-reserved-port', audit: 'service-port-80' })
})

t.test('an update is not refused for what was so before, only for what it adds', async (t) => {
  const before = service('orders', { ports: [{ name: 'http', port: 80 }], externalIPs: ['240.240.0.7'] })
  const after = service('orders', {
    ports: [
      { name: 'web', port: 8081 },
      { name: 'http', port: 80 },
    ],
    externalIPs: ['240.240.0.7'],
  })
  t.strictSame(found(await run(updateOf(before, after), withClaim())), [
    'service-port-name:deny',
    'service-port-80:warn',
  ])
})

t.test('the address of a virtual host', async (t) => {
  const at = (address: string, changes?: Partial<AdmissionRequest>) =>
    requestFor(service('orders', { externalIPs: [address] }), changes)
  const own = claim('240.240.0.7', 'shop/orders')
  const cases: [what: string, request: AdmissionRequest, others: object[], expected: string[]][] = [
    ['is missing', requestFor(service('orders')), [], ['service-vip-missing:deny']],
    ['is not claimed', at('240.240.0.7'), [], ['service-vip-taken:deny']],
    [
      'has a claim that is about to be collected',
      at('240.240.0.7'),
      [{ ...own, metadata: { ...own.metadata, annotations: { 'meshvip.dev/released': 'true' } } }],
      ['service-vip-taken:deny'],
    ],
    [
      'is not claimed because it is refused for something else',
      requestFor(service('orders', { externalIPs: ['240.240.0.7'], ports: [{ name: 'http', port: 80 }] })),
      [],
      ['service-port-80:deny'],
    ],
    ['is not claimed, which a dry run cannot do', at('240.240.0.7', { dryRun: true }), [], []],
    ['is claimed by another', at('240.240.0.7'), [claim('240.240.0.7', 'shop/carts')], ['service-vip-taken:deny']],
    [
      'is claimed by another, in a dry run',
      at('240.240.0.7', { dryRun: true }),
      [claim('240.240.0.7', 'shop/carts')],
      ['service-vip-taken:deny'],
    ],
    [
      'is claimed by the Service of that name in another namespace',
      at('240.240.0.7'),
      [claim('240.240.0.7', 'store/orders')],
      ['service-vip-taken:deny'],
    ],
    [
      "is another Service's without a claim",
      at('240.240.0.7', { dryRun: true }),
      [service('carts', { externalIPs: ['240.240.0.7'], ports: [{ name: 'http', port: 3222 }] })],
      ['service-vip-taken:deny'],
    ],
    [
      "is a ServiceEntry's",
      at('240.240.0.7'),
      [claim('240.240.0.7', 'shop/orders'), serviceEntry('db', ['240.240.0.0/24'])],
      ['service-vip-taken:deny'],
    ],
    ['is in no pool', at('192.0.2.1'), [], ['service-vip-outside-pool:deny']],
    ['is the network address of the pool', at('240.240.0.0'), [], ['service-vip-outside-pool:deny']],
  ]
  for (const [what, request, others, expected] of cases) {
    t.strictSame(found(await run(request, memory(...others))), expected, what)
  }
})

t.test('a dry run refuses a mismatch, but only warns of what may come with the same batch', async (t) => {
  const lost = virtualService('orders', {
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh'],
    http: [
      {
        match: [{ port: 3111 }],
        route: [{ destination: { host: 'later.shop.svc.cluster.local', port: { number: 80 } } }],
      },
    ],
  })
  const backend = memory(claim('240.240.0.7', 'shop/orders'), good)
  const dry = await run(requestFor(lost, { dryRun: true }), backend)
  t.strictSame(
    { allowed: dry.allowed, found: found(dry) },
    { allowed: true, found: ['virtualservice-destination-unknown:warn'] },
  )
  const real = await run(requestFor(lost), backend)
  t.strictSame(
    { allowed: real.allowed, found: found(real) },
    { allowed: false, found: ['virtualservice-destination-unknown:deny'] },
  )
  t.match(real.message, /^VirtualService shop\/orders is refused for one reason:\n- spec\.http\[0\]\.route\[0\]/)
})

t.test('a cluster in memory', async (t) => {
  t.test('learns what was admitted for good', async (t) => {
    const backend = withClaim()
    await run(requestFor(good), backend)
    t.equal(await knows(backend, 'orders'), true)
  })
  t.test('learns nothing of a dry run, or of what was refused', async (t) => {
    const backend = withClaim()
    await run(requestFor(good, { dryRun: true }), backend)
    t.equal(await knows(backend, 'orders'), false)
    await run(requestFor(service('orders', { ports: [{ port: 80 }] })), backend)
    t.equal(await knows(backend, 'orders'), false)
  })
  t.test('forgets what is deleted, unless that is a dry run', async (t) => {
    const backend = withClaim()
    await run(requestFor(good), backend)
    const deletion = requestFor(good, { operation: 'DELETE', object: null, oldObject: good })
    await run({ ...deletion, dryRun: true }, backend)
    t.equal(await knows(backend, 'orders'), true)
    await run(deletion, backend)
    t.equal(await knows(backend, 'orders'), false)
  })
  t.test('gives a Service that is made again the address that it had', async (t) => {
    const backend = memory()
    const { dryRun: _, ...creation } = requestFor(service('orders'))
    const first = await mutate(creation, backend, under())
    const [address] = ['240.240.225.190']
    t.match(first.patch, [{ value: [address] }])
    t.equal((await run({ ...creation, object: service('orders', { externalIPs: [address] }) }, backend)).allowed, true)
    await run({ ...creation, operation: 'DELETE', object: null }, backend)
    t.strictSame(await mutate(creation, backend, under()), first)
  })
  t.test('learns of VirtualServices, and forgets them', async (t) => {
    const backend = memory()
    const foreign = virtualService('outside', { hosts: ['example.com'], gateways: ['istio-system/ingress'] })
    const listed = () =>
      backend.cluster.ask(
        (view) => view.virtualServices('example.com').map(({ name }) => name),
        AbortSignal.timeout(5000),
      )
    await run(requestFor(foreign), backend)
    t.strictSame(await listed(), ['outside'])
    await run(requestFor(foreign, { operation: 'DELETE', object: null, oldObject: foreign }), backend)
    t.strictSame(await listed(), [])
  })
})

t.test('on a live cluster', async (t) => {
  const server = await startFakeApiServer(t)
  const backend = liveBackend({ client: server.client, clusterDomain: 'cluster.local', onError: () => {} })
  t.beforeEach(() => {
    server.clear()
    server.put(meshNamespace('shop'), claim('240.240.0.7', 'shop/orders'))
  })

  t.test('validation only reads', async (t) => {
    t.strictSame(await run(requestFor(good), backend), untouched)
    t.ok(server.requests.length > 0)
    t.strictSame([...new Set(server.requests.map(({ method }) => method))], ['GET'])
  })
  t.test("what is admitted or deleted is the API server's to remember", async (t) => {
    t.strictSame(await run(requestFor(good, { operation: 'DELETE', object: null }), backend), untouched)
    t.strictSame(server.log, [])
  })
  t.test('a deletion of what nothing uses costs nothing but the look for VirtualServices', async (t) => {
    const deletion = requestFor(good, { operation: 'DELETE', object: null, oldObject: good })
    t.strictSame(await run(deletion, backend), untouched)
    t.strictSame(server.log, ['GET /apis/networking.istio.io/v1/virtualservices'])
  })
  t.test('a claim that is gone is seen at once', async (t) => {
    t.strictSame(await run(requestFor(good), backend), untouched)
    server.delete('/apis/networking.k8s.io/v1/ipaddresses/240.240.0.7')
    t.strictSame(found(await run(requestFor(good), backend)), ['service-vip-taken:deny'])
  })
  t.test('a cluster that does not let itself be read gives no verdict', async (t) => {
    server.intercept = () => forbidden
    await t.rejects(run(requestFor(good), backend), { name: 'ApiError', status: 403 })
  })
})

t.test('a deletion is admitted, with a warning where a VirtualService still uses what is deleted', async (t) => {
  const route = virtualService('routes', { hosts: ['orders'], gateways: ['mesh'] })
  const deletion = (oldObject: object | null, changes: Partial<AdmissionRequest> = {}) =>
    run(requestFor(good, { operation: 'DELETE', object: null, oldObject, ...changes }), memory(good, route))
  const warned = {
    allowed: true,
    warnings: [
      'metadata.name: shop/orders is deleted, but in use by VirtualService shop/routes: routes by it or to it then lead nowhere, and callers get errors. Fix: take it out of the VirtualService first [service-in-use]',
    ],
    auditAnnotations: { warn: 'service-in-use' },
  }
  t.match(await deletion(good), warned)
  t.match(await deletion(good, { dryRun: true }), warned, 'a dry run, too')
  t.match(
    await deletion(service('', {}, { namespace: undefined, name: undefined })),
    warned,
    'by the names of the request',
  )
  t.strictSame(await deletion({ ...good, metadata: { ...good.metadata, deletionTimestamp: 'now' } }), untouched, 'once')
  t.strictSame(await deletion(service('orders', { ports: 'all' })), untouched, 'what cannot be read is just deleted')
  t.strictSame(await deletion(null), untouched)
  t.strictSame(
    await run(requestFor(route, { operation: 'DELETE', object: null, oldObject: route }), memory(good, route)),
    untouched,
    'of a VirtualService there is nothing to say',
  )
})

t.test('a deletion frees the address for others', async (t) => {
  const backend = withClaim()
  await run(requestFor(good), backend)
  await run(requestFor(good, { operation: 'DELETE', object: null }), backend)
  const { signal } = new AbortController()
  t.strictSame(await backend.cluster.ask((view) => view.holders('240.240.0.7'), signal), [])
})

t.test('what was malformed before does not hold up other changes', async (t) => {
  const malformed = (annotation: string) => service('orders', { ports: 'all' }, { annotations: { note: annotation } })
  t.equal((await run(updateOf(malformed('a'), malformed('b')), memory())).allowed, true)
  t.equal((await run(updateOf(good, malformed('b')), memory())).allowed, false)
})

t.test('the dry run of a batch is not refused for what the batch may change', async (t) => {
  const wrongPort = virtualService('orders', {
    hosts: ['orders'],
    gateways: ['mesh'],
    http: [{ match: [{ port: 9 }], route: [{ destination: { host: 'orders', port: { number: 8080 } } }] }],
  })
  const backend = () => memory(service('orders', { externalIPs: ['240.240.0.7'] }))
  const asked = (changes: Partial<AdmissionRequest>) => run(requestFor(wrongPort, changes), backend())
  const flux = { fieldManager: 'kustomize-controller' }
  t.equal((await asked({ dryRun: true, options: flux })).allowed, true)
  t.equal((await asked({ dryRun: true, options: { fieldManager: 'kubectl' } })).allowed, false)
  t.equal((await asked({ dryRun: true, options: null })).allowed, false)
  t.equal((await asked({ options: flux })).allowed, false)
})

t.test('in a cluster in memory a Service lets go of the address that it gives up', async (t) => {
  const backend = memory(claim('240.240.0.7', 'shop/orders'), claim('240.240.0.8', 'shop/orders'))
  t.equal((await run(requestFor(service('orders', { externalIPs: ['240.240.0.8'] })), backend)).allowed, true)
  const { signal } = new AbortController()
  t.strictSame(await backend.cluster.ask((view) => view.claimsOf({ namespace: 'shop', name: 'orders' }), signal), [
    '240.240.0.8',
  ])
})
