import fc from 'fast-check'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { refusals } from './generator/refusals.ts'
import { type Case, cases, caseToYaml, type Manifest, mutationNames } from './generator.ts'

/** The same cases in every run. */
const seed = 1
const sample = fc.sample(cases, { seed, numRuns: 3_000 })

const kindsOf = ({ objects }: Case): string => objects.map(({ kind }) => kind).join(' ')
const objectOf = <Spec>({ objects }: Case, kind: string) =>
  objects.find((object) => object.kind === kind) as Manifest<Spec> | undefined

/** The smallest case that has something, as fast-check finds it from whichever it sees first. */
const shrunk = (has: (one: Case) => boolean): Case => {
  const { counterexample } = fc.check(
    fc.property(cases, (one) => !has(one)),
    { seed, numRuns: 3_000 },
  )
  if (counterexample === null) throw new Error('no case has it')
  return counterexample[0]
}

const simplest = shrunk(() => true)

t.test('every manifest is one that the API server and the webhook of istiod accept', async (t) => {
  const check = () =>
    fc.assert(
      fc.property(cases, (one) => {
        const wrong = refusals(one.objects).join('\n')
        if (wrong !== '') throw new Error(`${wrong}\n${caseToYaml(one)}`)
      }),
      { seed, numRuns: 5_000 },
    )
  t.doesNotThrow(check)
})

t.test('what the API server or the webhook would refuse is found', async (t) => {
  const { objects } = simplest
  const changed = (kind: string, how: (spec: Record<string, unknown>) => void): Manifest[] => {
    const copy = structuredClone(objects)
    how(copy.find((object) => object.kind === kind)?.spec as Record<string, unknown>)
    return copy
  }
  const virtualService = (spec: object) => changed('VirtualService', (own) => Object.assign(own, spec))
  const route = [{ destination: { host: 'read' } }]
  const rows: [story: string, objects: Manifest[]][] = [
    ['an object twice', [...objects, ...objects.slice(-1)]],
    ['an object without its Namespace', objects.slice(1)],
    ['an unknown field', virtualService({ host: 'orders' })],
    ['hosts that overlap', virtualService({ hosts: ['a.shop.example', '*.shop.example'] })],
    ['the host of all', virtualService({ hosts: ['*'] })],
    ['a delegate with gateways', virtualService({ hosts: [], gateways: ['mesh'] })],
    ['exportTo nobody', virtualService({ exportTo: ['~'] })],
    ['a route to nothing', virtualService({ http: [{ match: [{ port: 80 }] }] })],
    ['a route to none', virtualService({ http: [{ route: [] }] })],
    ['a destination of all', virtualService({ http: [{ route: [{ destination: { host: '*' } }] }] })],
    ['weights of 0 in all', virtualService({ http: [{ route: [...route, ...route] }] })],
    ['a tcp match of paths', virtualService({ tcp: [{ match: [{ uri: { prefix: '/' } }], route }] })],
    ['sniHosts beside the hosts', virtualService({ tls: [{ match: [{ sniHosts: ['other.example'] }], route }] })],
    ['a Service without ports', changed('Service', (spec) => Object.assign(spec, { ports: [] }))],
    [
      'two ports without name',
      changed('Service', (spec) => Object.assign(spec, { ports: [{ port: 1 }, { port: 2 }] })),
    ],
    ['a headless ExternalName', changed('Service', (spec) => Object.assign(spec, { type: 'ExternalName' }))],
    ['a clusterIP twice', changed('Service', (spec) => Object.assign(spec, { clusterIP: '10.96.1.2' }))],
  ]
  t.strictSame(refusals(objects), [], 'but not what it was before')
  for (const [story, broken] of rows) t.not(refusals(broken).length, 0, story)
})

t.test('at least two of five cases are right as they are', async (t) => {
  const right = sample.filter(({ mutations }) => mutations.length === 0).length
  t.ok(right / sample.length >= 0.4, `${right} of ${sample.length}`)
  t.ok(right / sample.length < 0.7, 'and not nearly all of them')
})

t.test('every mutation is drawn, and finds something to change', async (t) => {
  const drawn = new Set(sample.flatMap(({ mutations }) => mutations))
  t.strictSame(
    mutationNames.filter((name) => !drawn.has(name)),
    [],
    'none is missing',
  )
})

t.test('what Istio orders by age has an age of its own', async (t) => {
  for (const { objects } of sample.slice(0, 100)) {
    const ages = objects.map(({ metadata }) => metadata.creationTimestamp ?? '')
    t.strictSame([...new Set(ages)].sort(), ages)
  }
})

t.test('the same seed makes the same cases', async (t) => {
  t.strictSame(fc.sample(cases, { seed, numRuns: 20 }), fc.sample(cases, { seed, numRuns: 20 }))
})

t.test('whatever is found shrinks to what it needs', async (t) => {
  await t.test('a case to one virtual host, one destination and one route by port', async (t) => {
    t.equal(kindsOf(simplest), 'Namespace Service Service VirtualService')
    t.strictSame(simplest.clients, [{ namespace: 'shop' }])
    t.strictSame(simplest.mutations, [])
    t.strictSame(objectOf(simplest, 'VirtualService')?.spec, {
      hosts: ['orders.shop.svc.cluster.local'],
      gateways: ['mesh'],
      http: [
        {
          match: [{ port: 3111 }],
          route: [{ destination: { host: 'read.shop.svc.cluster.local', port: { number: 3100 } } }],
        },
      ],
    })
  })
  await t.test('a mutation to that mutation alone', async (t) => {
    const one = shrunk(({ mutations }) => mutations.includes('host: svc.ns'))
    t.equal(kindsOf(one), kindsOf(simplest))
    t.strictSame(one.mutations, ['host: svc.ns'])
    t.strictSame(objectOf<{ hosts: string[] }>(one, 'VirtualService')?.spec?.hosts, ['orders.shop'])
  })
  await t.test('a DestinationRule to one beside them', async (t) => {
    const one = shrunk((one) => one.mutations.length === 0 && kindsOf(one).includes('DestinationRule'))
    t.equal(kindsOf(one), 'Namespace Service Service DestinationRule VirtualService')
    t.strictSame(one.clients, simplest.clients)
  })
})

t.test('a case as YAML says all that is in it', async (t) => {
  const one = shrunk(
    ({ mutations, mesh, clients }) => mutations.length > 0 && mesh !== undefined && !!clients[0]?.labels,
  )
  const text = caseToYaml(one)
  t.match(text, /^# mutations: match port: another\n# client in shop \{"app":"web"\}\n# cluster domain mesh.internal\n/)
  t.strictSame(
    parseAllDocuments(text).map((document) => document.toJS()),
    one.objects,
  )
  t.match(caseToYaml({ ...one, mutations: [] }), /^# mutations: none\n/)
})
