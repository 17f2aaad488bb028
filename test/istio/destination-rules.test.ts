import t from 'tap'
import type { Client } from '../../src/istio/client.ts'
import { subsetsOf } from '../../src/istio/destination-rules.ts'
import { type MeshHost, Registry } from '../../src/istio/registry.ts'
import { destinationRule, service, storeOf } from '../support/objects.ts'

const mesh = { clusterDomain: 'cluster.local', foreignHosts: [], rootNamespace: 'istio-system' }
const host = 'read.shop.svc.cluster.local'
const anyPodIn = (namespace: string): Client => ({ namespace, labels: 'any' })

/** The subsets of read.shop that a client has. */
const subsetsFor = (client: Client, ...rules: object[]): string[] => {
  const view = storeOf(service('read'), ...rules)
  const target = new Registry(client, view, mesh).get(host) as MeshHost
  return [...subsetsOf(target, client, view, mesh).some].sort()
}

const subsets = (...names: string[]) => ({ subsets: names.map((name) => ({ name })) })

/** A DestinationRule for read.shop that defines a subset of its own name. */
const rule = (name: string, spec: object = {}, metadata: Record<string, unknown> = {}) =>
  destinationRule(name, host, { ...subsets(name), ...spec }, metadata)

const created = (year: number, namespace = 'shop') => ({ namespace, creationTimestamp: `${year}-01-01T00:00:00Z` })
const inNamespace = (namespace: string) => ({ namespace })
const selecting = (app: string) => ({ workloadSelector: { matchLabels: { app } } })
const pod = (app: string): Client => ({ namespace: 'shop', labels: new Map([['app', app]]) })

t.test('whose DestinationRule a client has: its namespace’s, else the Service’s, else that of the root', async (t) => {
  const [own, theirs, root] = [
    rule('own', {}, inNamespace('stock')),
    rule('theirs'),
    rule('root', {}, inNamespace('istio-system')),
  ]
  const elsewhere = rule('elsewhere', {}, inNamespace('payments'))
  const client = anyPodIn('stock')
  t.strictSame(subsetsFor(client, root, theirs, own, elsewhere), ['own'])
  t.strictSame(subsetsFor(client, root, theirs, elsewhere), ['theirs'])
  t.strictSame(subsetsFor(client, root, elsewhere), ['root'])
  t.strictSame(subsetsFor(client, elsewhere), [])
  t.strictSame(
    subsetsFor(anyPodIn('istio-system'), root, theirs),
    ['theirs'],
    'in the root namespace it comes last too',
  )
})

t.test('what a DestinationRule is exported to counts', async (t) => {
  const client = anyPodIn('stock')
  const theirs = (...exportTo: string[]) => rule('theirs', { exportTo })
  const root = rule('root', {}, inNamespace('istio-system'))
  t.strictSame(subsetsFor(client, theirs('.'), root), ['root'])
  t.strictSame(subsetsFor(client, theirs('shop'), root), ['root'])
  t.strictSame(subsetsFor(client, theirs('payments'), root), ['root'])
  t.strictSame(subsetsFor(client, theirs('stock'), root), ['theirs'])
  t.strictSame(subsetsFor(client, theirs('*'), root), ['theirs'])
  t.strictSame(subsetsFor(anyPodIn('shop'), theirs('.'), root), ['theirs'], 'to its own')
  const own = rule('own', { exportTo: ['payments'] }, inNamespace('stock'))
  t.strictSame(subsetsFor(client, own, theirs('*')), ['theirs'], 'one for others is not for its own namespace')
  const privateRoot = rule('root', { exportTo: ['.'] }, inNamespace('istio-system'))
  t.strictSame(subsetsFor(anyPodIn('istio-system'), privateRoot, theirs('*')), ['root'])
})

t.test(
  'a rule for the host itself hides those for a wildcard over it, and a longer wildcard a shorter one',
  async (t) => {
    const over = (name: string, wildcard: string, metadata: Record<string, unknown> = {}) =>
      destinationRule(name, wildcard, subsets(name), metadata)
    const [all, namespace] = [over('all', '*.local'), over('namespace', '*.shop.svc.cluster.local')]
    const client = anyPodIn('shop')
    t.strictSame(subsetsFor(client, all, namespace, rule('exact')), ['exact'])
    t.strictSame(subsetsFor(client, rule('exact'), all), ['exact'], 'in any order')
    t.strictSame(subsetsFor(client, all, namespace), ['namespace'])
    t.strictSame(subsetsFor(client, namespace, all), ['namespace'], 'in any order')
    t.strictSame(subsetsFor(client, all), ['all'])
    t.strictSame(
      subsetsFor(anyPodIn('stock'), over('own', '*.local', inNamespace('stock')), rule('exact')),
      ['own'],
      'but the namespace comes first',
    )
  },
)

t.test('a short host is resolved where the rule stands, and a dotted one is read literally', async (t) => {
  const client = anyPodIn('shop')
  t.strictSame(subsetsFor(client, destinationRule('a', 'read', subsets('v1'))), ['v1'])
  t.strictSame(subsetsFor(anyPodIn('stock'), destinationRule('a', 'read', subsets('v1'), inNamespace('stock'))), [])
  t.strictSame(subsetsFor(client, destinationRule('a', 'read.shop', subsets('v1'))), [])
  t.strictSame(subsetsFor(client, destinationRule('a', 'Read.shop.svc.cluster.local', subsets('v1'))), [])
  t.strictSame(subsetsFor(client, destinationRule('a', '*.shop.svc.cluster.local', subsets('v1'))), ['v1'])
  t.strictSame(subsetsFor(client, destinationRule('a', '*.Shop.svc.cluster.local', subsets('v1'))), [])
})

t.test('rules of one namespace and host are merged, if they are exported alike', async (t) => {
  const client = anyPodIn('shop')
  t.strictSame(subsetsFor(client, rule('a'), rule('b')), ['a', 'b'])
  t.strictSame(subsetsFor(client, rule('a', { exportTo: ['.'] }), rule('b', { exportTo: ['.'] })), ['a', 'b'])
  const both = [rule('a', { exportTo: ['.'] }, created(2020)), rule('b', { exportTo: ['.', 'stock'] }, created(2021))]
  t.strictSame(subsetsFor(client, ...both), ['a', 'b'], 'or the younger one to more,')
  t.strictSame(subsetsFor(anyPodIn('stock'), ...both), ['b'], 'which others have alone')
  t.strictSame(
    subsetsFor(client, rule('a', { exportTo: ['.'] }, created(2020)), rule('b', { exportTo: ['*'] }, created(2021))),
    ['b'],
    'else the youngest is the one for all',
  )
  const [first, forAll, last] = [
    rule('a', { exportTo: ['.'] }, created(2020)),
    rule('b', { exportTo: ['*'] }, created(2021)),
    rule('c', { exportTo: ['.'] }, created(2022)),
  ] as const
  t.strictSame(subsetsFor(client, first, forAll, last), ['c'], 'be it merged into an older one as well')
})

t.test('a rule with a workloadSelector is for these Pods of its own namespace', async (t) => {
  const front = rule('front', selecting('front'))
  const rows: [exportTo: string[], front: string[], back: string[]][] = [
    [[], ['front'], ['all']],
    [['.', 'stock'], ['all', 'front'], ['all']],
    // What is exported alike is merged into the one with the selector, and so lost to all other Pods.
    [['.'], ['all', 'front'], []],
  ]
  for (const [exportTo, ofFront, ofBack] of rows) {
    const rules = [front, rule('all', { exportTo })]
    t.strictSame(subsetsFor(pod('front'), ...rules), ofFront, `beside one exported to ${exportTo}`)
    t.strictSame(subsetsFor(pod('back'), ...rules), ofBack, `beside one exported to ${exportTo}, for other Pods`)
    t.strictSame(subsetsFor(anyPodIn('shop'), ...rules), ['all', 'front'], 'some Pod there may have it')
  }
  t.strictSame(subsetsFor(anyPodIn('stock'), rule('front', { ...selecting('front'), exportTo: ['*'] })), [])
  for (const app of ['front', 'back'])
    t.strictSame(
      subsetsFor(pod(app), rule('front', selecting('front')), rule('back', selecting('back'))),
      [app],
      'those for other Pods are not merged',
    )
  t.strictSame(
    subsetsFor(pod('front'), rule('a', selecting('front')), rule('b', selecting('front'))),
    ['a', 'b'],
    'those for the same Pods are',
  )
})

t.test('of rules for the same Pods the first counts, and what all Pods have, all have', async (t) => {
  const only = (app: string, year: number, ...names: string[]) =>
    rule(`${app}-${year}`, { ...subsets(...names), workloadSelector: { matchLabels: { app } } }, created(year))
  const rules = [
    rule('all', subsets('v1')),
    only('front', 2020, 'v1'),
    only('back', 2021, 'v1'),
    only('front', 2022, 'v2'),
  ]
  const view = storeOf(service('read'), ...rules)
  const client = anyPodIn('shop')
  const target = new Registry(client, view, mesh).get(host) as MeshHost
  t.strictSame([...subsetsOf(target, client, view, mesh).every], ['v1'])
})
