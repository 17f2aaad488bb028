import t from 'tap'
import { type AllocationOutcome, type Backend, liveBackend } from '../../src/admission/backend.ts'
import { mutate } from '../../src/admission/mutate.ts'
import type { AdmissionRequest, Answer } from '../../src/admission/review.ts'
import { validate } from '../../src/admission/validate.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { createPool, formatPools } from '../../src/vip/pools.ts'
import { memory, policyWithPool, under } from '../support/backends.ts'
import { alreadyExists, startFakeApiServer } from '../support/fake-api-server.ts'
import { claim, endpointSlice, meshNamespace, service, serviceEntry, virtualService } from '../support/objects.ts'
import { requestFor, updateOf } from '../support/reviews.ts'

const run = (request: AdmissionRequest, backend: Backend, policy?: Policy): Promise<Answer> =>
  mutate(request, backend, under(policy))

const writes = (address: string, ...before: string[]) => [
  { op: 'add', path: '/spec/externalIPs', value: [...before, address] },
]

const untouched = { allowed: true, warnings: [], outcomes: [], patch: [], auditAnnotations: {} }

t.test('a virtual host without address is given one, by one patch', async (t) => {
  const answer = await run(requestFor(service('orders')), memory())
  t.strictSame(answer, {
    ...untouched,
    patch: writes('240.240.225.190'),
    auditAnnotations: { address: '240.240.225.190' },
  })
})

t.test('an address that is no pool address stays beside the one that is written', async (t) => {
  const policy = {
    ...policyWithPool('240.240.0.0/16'),
    allowedExternalIPs: [{ family: 4, first: 0n, last: 2n ** 32n }],
  }
  const answer = await run(requestFor(service('orders', { externalIPs: ['192.0.2.1'] })), memory(), policy as Policy)
  t.strictSame(answer.patch, writes('240.240.225.190', '192.0.2.1'))
})

const dualPools = { ...defaultPolicy, pools: [createPool({ cidr: '10.9.0.0/30' }), createPool({ cidr: 'fd00::/126' })] }

t.test('a virtual host of dual stack is given an address of each family', async (t) => {
  const dual = (spec: object = {}) => service('orders', { ipFamilyPolicy: 'RequireDualStack', ...spec })
  const backend = memory()
  const both = ['10.9.0.2', 'fd00::2']
  const answer = await run(requestFor(dual()), backend, dualPools)
  t.strictSame(answer.patch, [{ op: 'add', path: '/spec/externalIPs', value: both }])
  t.strictSame(answer.auditAnnotations, { address: '10.9.0.2,fd00::2' })
  const update = await run(updateOf(dual({ externalIPs: both }), dual()), backend, dualPools)
  t.strictSame(update.patch, answer.patch, 'and again where an update drops both')
  const half = await run(updateOf(dual({ externalIPs: both }), dual({ externalIPs: ['fd00::2'] })), backend, dualPools)
  t.strictSame(half.patch, writes('10.9.0.2', 'fd00::2'), 'and again where an update drops one')
  const one = await run(requestFor(service('carts')), backend, dualPools)
  t.strictSame(one.patch, writes('10.9.0.1'), 'any other has one')
  const picked = await run(requestFor(dual({ externalIPs: ['fd00::1'] })), memory(), dualPools)
  t.strictSame(picked.patch, writes('10.9.0.2', 'fd00::1'))
})

t.test('what a virtual host of dual stack picks by hand is claimed, each of it', async (t) => {
  const backend = memory()
  const spec = { ipFamilyPolicy: 'RequireDualStack', externalIPs: ['fd00::1', '10.9.0.1'] }
  t.strictSame((await run(requestFor(service('orders', spec)), backend, dualPools)).patch, [])
  const claimed = await backend.cluster.ask(
    (view) => view.claimsOf({ namespace: 'shop', name: 'orders' }),
    AbortSignal.timeout(5_000),
  )
  t.strictSame([...claimed].sort(), ['10.9.0.1', 'fd00::1'])
})

t.test('a family of which nothing is free is told, and the other one given', async (t) => {
  const told: AllocationOutcome[] = []
  const onAllocation = (outcome: AllocationOutcome) => told.push(outcome)
  const backend = { ...memory(service('pay', { externalIPs: ['10.9.0.1', '10.9.0.2'] })), onAllocation }
  const answer = await run(requestFor(service('orders', { ipFamilyPolicy: 'PreferDualStack' })), backend, dualPools)
  t.strictSame(answer.patch, writes('fd00::2'))
  t.strictSame(answer.warnings, ['no address is free in 10.9.0.0/30: ask the owners of the cluster for a larger pool'])
  t.match(
    told.map(({ service, pools, ...rest }) => ({ ...rest, service: service.name, pools: formatPools(pools) })),
    [
      {
        service: 'orders',
        pools: '10.9.0.0/30',
        address: undefined,
        conflicts: 0,
        dryRun: false,
        milliseconds: Number,
      },
      { service: 'orders', pools: 'fd00::/126', address: 'fd00::2', conflicts: 0 },
    ],
  )
})

t.test('a Service of another type that is labelled as a virtual host keeps to what it picked', async (t) => {
  const spec = { type: 'LoadBalancer', ipFamilyPolicy: 'PreferDualStack', externalIPs: ['10.9.0.1'] }
  const policy = { ...dualPools, enforcement: 'audit' as const }
  t.strictSame((await run(requestFor(service('orders', spec, labelled('true'))), memory(), policy)).patch, [])
})

t.test('what is no virtual host goes through untouched', async (t) => {
  const sliceByHand = endpointSlice('orders-1', 'orders')
  const cases: [what: string, request: AdmissionRequest, backend?: Backend][] = [
    ['a Service with a selector', requestFor(service('orders', { selector: { app: 'orders' } }))],
    ['a headless Service', requestFor(service('orders', { clusterIP: 'None' }))],
    ['an ExternalName', requestFor(service('orders', { type: 'ExternalName', externalName: 'example.com' }))],
    ['a labelled one of another type', requestFor(service('orders', { type: 'LoadBalancer' }, labelled('true')))],
    ['a labelled one that is headless', requestFor(service('orders', { clusterIP: 'None' }, labelled('true')))],
    ['one labelled as none', requestFor(service('orders', {}, labelled('false')))],
    ['one with EndpointSlices made by hand', requestFor(service('orders')), memory(sliceByHand)],
    [
      'one outside the mesh',
      requestFor(service('orders')),
      memory({ ...meshNamespace('shop'), metadata: { name: 'shop' } }),
    ],
    ['one that is being deleted', requestFor(service('orders', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' }))],
    ['its status', requestFor(service('orders'), { subResource: 'status', operation: 'UPDATE' })],
    ['its deletion', { ...requestFor(service('orders')), operation: 'DELETE', object: null }],
    ['a connection to it', requestFor(service('orders'), { operation: 'CONNECT' })],
    ['an update in which nothing changed', updateOf(service('orders'), service('orders'))],
    ['a Service that cannot be read, which validation refuses', requestFor(service('orders', { ports: 'all' }))],
    ['a VirtualService', requestFor(virtualService('orders', { hosts: ['orders'] }))],
  ]
  for (const [what, request, backend = memory()] of cases) {
    t.strictSame(await run(request, backend), untouched, what)
  }
})

const labelled = (value: string) => ({ labels: { 'meshvip.dev/virtual-host': value } })

t.test('a kind that is none of ours is let through with a warning', async (t) => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name: 'p' } }
  const { allowed, warnings, patch } = await run(requestFor(pod), memory())
  t.strictSame({ allowed, patch }, { allowed: true, patch: [] })
  t.strictSame(warnings, [
    'meshvip has no rules for Pod (core/v1): its webhook configuration sends it more than it should',
  ])
})

t.test('the label alone makes a virtual host', async (t) => {
  const owned = { ...labelled('true'), ownerReferences: [{ controller: true }] }
  const answer = await run(requestFor(service('orders', {}, owned)), memory())
  t.strictSame(answer.patch, writes('240.240.225.190'))
})

t.test('what is labelled and has a selector gets an address only where that is let pass', async (t) => {
  const withSelector = (port: number) =>
    service('orders', { selector: { app: 'x' }, ports: [{ name: 'http', port }] }, labelled('true'))
  t.strictSame(await run(requestFor(withSelector(3111)), memory()), untouched)
  const before = await run(updateOf(withSelector(3111), withSelector(3222)), memory())
  t.strictSame(before.patch, writes('240.240.225.190'), 'because it was so before')
})

t.test('a Service that the rules will refuse gets no address and no claim', async (t) => {
  const backend = memory()
  const cases: [what: string, spec: object][] = [
    ['port 80', { ports: [{ name: 'http', port: 80 }] }],
    ['an address of nobody knows where', { externalIPs: ['192.0.2.1'] }],
    ['port 80, with an address picked by hand', { ports: [{ name: 'http', port: 80 }], externalIPs: ['240.240.0.7'] }],
  ]
  for (const [what, spec] of cases)
    t.strictSame(await run(requestFor(service('orders', spec)), backend), untouched, what)
  t.strictSame(await backend.cluster.ask((view) => view.claimsOf({ namespace: 'shop', name: 'orders' }), abort()), [])
})

const abort = () => AbortSignal.timeout(5000)

t.test('an update by replace, which drops the address, gets it back', async (t) => {
  const backend = memory(claim('240.240.0.7', 'shop/orders'))
  const before = service('orders', { externalIPs: ['240.240.0.7'] })
  const { patch } = await run(updateOf(before, service('orders')), backend)
  t.strictSame(patch, writes('240.240.0.7'))
})

t.test('it gets it back, too, where the claim is gone or there are several', async (t) => {
  const before = service('orders', { externalIPs: ['240.240.0.7'] })
  for (const backend of [memory(), memory(claim('240.240.0.9', 'shop/orders'), claim('240.240.0.7', 'shop/orders'))]) {
    const { patch } = await run(updateOf(before, service('orders')), backend)
    t.strictSame(patch, writes('240.240.0.7'))
    t.equal(await backend.cluster.ask((view) => view.claim('240.240.0.7')?.text, abort()), 'Service shop/orders')
  }
})

t.test('an update that drops an address which another holds gets one of its own', async (t) => {
  const backend = memory(claim('240.240.0.7', 'shop/carts'))
  const before = service('orders', { externalIPs: ['240.240.0.7'] })
  const { patch } = await run(updateOf(before, service('orders')), backend)
  t.strictSame(patch, writes('240.240.225.190'))
})

t.test('an update whose old object cannot be read is treated as a new one', async (t) => {
  const { patch } = await run(updateOf(service('orders', { ports: 1 }), service('orders')), memory())
  t.strictSame(patch, writes('240.240.225.190'))
})

t.test('a Service that is no virtual host any more', async (t) => {
  const labelled = (value: string) => ({ labels: { 'meshvip.dev/virtual-host': value } })
  /** As the API server notes it: kubectl wrote these fields. */
  const by = (...fields: string[]) => [
    { manager: 'kubectl', fieldsV1: { 'f:spec': Object.fromEntries(fields.map((field) => [`f:${field}`, {}])) } },
  ]
  const had = { externalIPs: ['240.240.0.7'] }
  const before = service('orders', had)
  const become = (spec: object, metadata: Record<string, unknown>, from = before) =>
    run(updateOf(from, service('orders', spec, metadata)), memory(claim('240.240.0.7', 'shop/orders')))
  const patchTo = (...value: string[]) => [{ op: 'add', path: '/spec/externalIPs', value }]

  const ways: [how: string, spec: object, metadata: Record<string, unknown>][] = [
    ['by label', had, labelled('false')],
    ['by its selector', { ...had, selector: { app: 'orders' } }, {}],
    ['by its type', { ...had, type: 'NodePort' }, {}],
  ]
  for (const [how, spec, metadata] of ways) {
    t.test(`${how} gives its address back`, async (t) => {
      const answer = await become(spec, { ...metadata, managedFields: by('ports') })
      t.strictSame(answer.patch, patchTo())
      t.strictSame(answer.auditAnnotations, { released: '240.240.0.7' })
    })
  }
  t.test('keeps what is not of the pool', async (t) => {
    const both = { externalIPs: ['192.0.2.1', '240.240.0.7'] }
    const { patch } = await become(both, { ...labelled('false'), managedFields: by() }, service('orders', both))
    t.strictSame(patch, patchTo('192.0.2.1'))
  })
  const kept: [what: string, spec: object, metadata: Record<string, unknown>, from?: typeof before][] = [
    ['that somebody wrote by hand', had, { ...labelled('false'), managedFields: by('ports', 'externalIPs') }],
    ['of which nobody knows who wrote it', had, labelled('false')],
    ['whose owners cannot be read', had, { ...labelled('false'), managedFields: [{ fieldsV1: 7 }] }],
    ['that was another before', { externalIPs: ['240.240.0.8'] }, { ...labelled('false'), managedFields: by() }],
    [
      'of a Service that never was one',
      { ...had, ports: [{ name: 'http', port: 3222 }] },
      { ...labelled('false'), managedFields: by() },
      service('orders', had, labelled('false')),
    ],
    ['of a virtual host that still is one', { ...had, ports: [{ name: 'http', port: 3222 }] }, { managedFields: by() }],
  ]
  for (const [what, spec, metadata, from] of kept) {
    t.test(`an address stays ${what}`, async (t) => {
      t.strictSame((await become(spec, metadata, from)).patch, [])
    })
  }
})

t.test('what needs no ports has its address claimed, and gives it back, without any', async (t) => {
  const none = { type: 'ExternalName', externalName: 'example.com', ports: [] }
  const picked = memory()
  await run(requestFor(service('orders', { ...none, externalIPs: ['240.240.0.7'] })), picked)
  t.equal(await picked.cluster.ask((view) => view.claim('240.240.0.7')?.text, abort()), 'Service shop/orders')
  const managedFields = [{ manager: 'kubectl', fieldsV1: { 'f:spec': {} } }]
  const had = { externalIPs: ['240.240.0.7'] }
  const { patch } = await run(
    updateOf(service('orders', had), service('orders', { ...none, ...had }, { managedFields })),
    memory(claim('240.240.0.7', 'shop/orders')),
  )
  t.strictSame(patch, [{ op: 'add', path: '/spec/externalIPs', value: [] }])
})

t.test('with generateName the name is made of the prefix and the uid of the request', async (t) => {
  const uid = '0a1b2c3d-6393-11e8-b7cc-42010a800002'
  const generated = (prefix: unknown, spec?: object) => {
    const object = service('', spec, { name: undefined, generateName: prefix })
    return requestFor(object, { uid, name: '' })
  }
  const named = (value: string) => ({ op: 'add', path: '/metadata/name', value })

  t.test('and the claim is for that name', async (t) => {
    const backend = memory()
    const { patch } = await run(generated('orders-'), backend)
    t.strictSame(patch, [named('orders-0a1b2c3d'), ...writes('240.240.143.26')])
    const name = { namespace: 'shop', name: 'orders-0a1b2c3d' }
    t.strictSame(await backend.cluster.ask((view) => view.claimsOf(name), abort()), ['240.240.143.26'])
  })
  t.test('also where the address was picked by hand', async (t) => {
    const { patch } = await run(generated('orders-', { externalIPs: ['240.240.0.7'] }), memory())
    t.strictSame(patch, [named('orders-0a1b2c3d')])
  })
  t.test('with 63 characters at most', async (t) => {
    const { patch } = await run(generated('x'.repeat(80)), memory())
    t.strictSame(patch[0], named(`${'x'.repeat(55)}0a1b2c3d`))
  })
  t.test('and a Service that needs no address is left to the API server to name', async (t) => {
    t.strictSame(await run(generated('orders-', { selector: { app: 'x' } }), memory()), untouched)
  })
  for (const prefix of [undefined, '', 7]) {
    t.test(`a Service that has no name and the prefix ${JSON.stringify(prefix)} is none of ours`, async (t) => {
      t.strictSame(await run(generated(prefix), memory()), untouched)
    })
  }
  t.test('an object that is no object at all is none of ours either', async (t) => {
    t.strictSame(await run({ ...generated('a-'), object: undefined }, memory()), untouched)
  })
})

t.test('a full pool gives a warning and no patch', async (t) => {
  const backend = memory(claim('10.9.0.1', 'shop/a'), serviceEntry('b', ['10.9.0.2/32']))
  const answer = await run(requestFor(service('orders')), backend, policyWithPool('10.9.0.0/30'))
  t.strictSame(answer, {
    ...untouched,
    warnings: ['no address is free in 10.9.0.0/30: ask the owners of the cluster for a larger pool'],
  })
})

t.test('on a live cluster', async (t) => {
  const server = await startFakeApiServer(t)
  t.beforeEach(() => {
    server.clear()
    server.put(meshNamespace('shop'))
  })
  const backend = liveBackend({ client: server.client, clusterDomain: 'cluster.local', onError: () => {} })

  t.test('the address is claimed as an IPAddress', async (t) => {
    t.strictSame((await run(requestFor(service('orders')), backend)).patch, writes('240.240.225.190'))
    t.strictSame(server.get('/apis/networking.k8s.io/v1/ipaddresses/240.240.225.190'), {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: {
        name: '240.240.225.190',
        labels: {
          'ipaddress.kubernetes.io/managed-by': 'meshvip.dev',
          'ipaddress.kubernetes.io/ip-family': 'IPv4',
        },
        uid: 'uid-2',
        resourceVersion: '2',
      },
      spec: { parentRef: { group: '', resource: 'services', namespace: 'shop', name: 'orders' } },
    })
  })

  t.test('a second pass, in which the object has its address, changes nothing but touches the claim', async (t) => {
    await run(requestFor(service('orders')), backend)
    const path = '/apis/networking.k8s.io/v1/ipaddresses/240.240.225.190'
    const before = server.get(path)?.metadata.resourceVersion
    const again = await run(requestFor(service('orders', { externalIPs: ['240.240.225.190'] })), backend)
    t.strictSame(again, untouched)
    t.strictSame(server.claims, { '240.240.225.190': 'shop/orders' })
    t.not(server.get(path)?.metadata.resourceVersion, before)
  })

  t.test('a first pass that is repeated comes to the same address and the same claim', async (t) => {
    const first = await run(requestFor(service('orders')), backend)
    t.strictSame(await run(requestFor(service('orders'), { uid: 'another' }), backend), first)
    t.strictSame(server.claims, { '240.240.225.190': 'shop/orders' })
  })

  t.test('a dry run says the same address and leaves no claim', async (t) => {
    const dry = await run(requestFor(service('orders'), { dryRun: true }), backend)
    t.strictSame(dry.patch, writes('240.240.225.190'))
    t.strictSame(server.claims, {})
    t.strictSame(await run(requestFor(service('orders')), backend), dry)
  })

  t.test('an address picked by hand is claimed for its owner, and nothing is patched', async (t) => {
    const picked = service('orders', { externalIPs: ['240.240.0.7'] })
    t.strictSame(await run(requestFor(picked), backend), untouched)
    t.strictSame(server.claims, { '240.240.0.7': 'shop/orders' })
  })

  t.test('one who picks more than one gets none, and neither does what the API server will refuse', async (t) => {
    const several = { externalIPs: ['240.240.0.7', '240.240.0.8'] }
    for (const refused of [
      service('orders', several),
      service('orders', { ...several, selector: { app: 'x' } }),
      service('Not_A_Name'),
      service('x'.repeat(64)),
      service('orders', { ports: [] }),
    ]) {
      t.strictSame(await run(requestFor(refused), backend), untouched)
    }
    t.strictSame(server.claims, {})
  })

  t.test('an address picked by hand for a Service that is no virtual host is claimed too', async (t) => {
    const ordinary = service('orders', { selector: { app: 'x' }, externalIPs: ['240.240.0.7'] })
    t.strictSame(await run(requestFor(ordinary), backend), untouched)
    t.strictSame(server.claims, { '240.240.0.7': 'shop/orders' })
  })

  t.test('an address picked by hand is not claimed by a dry run', async (t) => {
    const picked = service('orders', { externalIPs: ['240.240.0.7'] })
    t.strictSame(await run(requestFor(picked, { dryRun: true }), backend), untouched)
    t.strictSame(server.claims, {})
  })

  t.test(
    'of two Services that race for one address picked by hand, one has the claim and the other is refused',
    async (t) => {
      const requests = ['orders', 'carts'].map((name) => requestFor(service(name, { externalIPs: ['240.240.0.7'] })))
      // Both have looked, and seen a free address, before either posts.
      const posts = Promise.withResolvers<void>()
      let posted = 0
      server.intercept = async ({ method }) => {
        if (method === 'POST' && ++posted === 2) posts.resolve()
        if (method === 'POST') await posts.promise
        return undefined
      }
      const mutations = await Promise.all(requests.map((request) => run(request, backend)))
      t.strictSame(mutations, [untouched, untouched])
      t.equal(Object.keys(server.claims).length, 1)

      const verdicts = await Promise.all(requests.map((request) => validate(request, backend, under())))
      const winner = server.claims['240.240.0.7'] === 'shop/orders' ? 0 : 1
      t.equal(verdicts[winner]?.allowed, true)
      t.equal(verdicts[1 - winner]?.allowed, false)
      t.strictSame(
        verdicts[1 - winner]?.outcomes.map(({ rule }) => rule),
        ['service-vip-taken'],
      )
    },
  )

  t.test('a claim that another was faster to make sends it to the next candidate', async (t) => {
    server.intercept = ({ method, body }) => {
      if (method !== 'POST') return undefined
      const { name } = (body as { metadata: { name: string } }).metadata
      if (name !== '240.240.225.190') return undefined
      server.put(claim('240.240.225.190', 'shop/faster'))
      return alreadyExists
    }
    t.strictSame((await run(requestFor(service('orders')), backend)).patch, writes('240.240.225.183'))
    t.strictSame(server.claims, { '240.240.225.190': 'shop/faster', '240.240.225.183': 'shop/orders' })
  })

  t.test('an update by replace gets its address back, and the claim is touched', async (t) => {
    server.put(claim('240.240.0.7', 'shop/orders'))
    const before = service('orders', { externalIPs: ['240.240.0.7'] })
    server.put(before)
    t.strictSame((await run(updateOf(before, service('orders')), backend)).patch, writes('240.240.0.7'))
    t.match(server.get('/apis/networking.k8s.io/v1/ipaddresses/240.240.0.7')?.metadata, {
      annotations: { 'meshvip.dev/claimed-at': /^\d{4}-\d\d-\d\dT/ },
    })
  })

  t.test('a cluster of which a part cannot be read gives no answer', async (t) => {
    server.intercept = ({ path }) => (path.endsWith('/serviceentries') ? { status: 500, body: {} } : undefined)
    await t.rejects(run(requestFor(service('orders')), backend), { name: 'ApiError', status: 500 })
    t.strictSame(server.claims, {})
  })
})
