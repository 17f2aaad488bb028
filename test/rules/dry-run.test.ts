import t from 'tap'
import { judgeService, judgeVirtualService } from '../../src/rules/judge.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { parseManifests } from '../../src/view/manifests.ts'
import { fixtureStore, readRuleFixtures } from '../fixtures/rules.ts'
import { circumstancesIn } from '../support/circumstances.ts'

const { cluster, rules } = await readRuleFixtures()

/** Every rule refuses, so that nothing but the dry run is a reason why one does not. */
const policy: Policy = {
  ...defaultPolicy,
  actions: new Map(rules.map(({ id }) => [id, { virtualHost: 'deny', other: 'deny' }])),
}

/** What a rule does for the first of these manifests in a dry run, and in one of a batch, where the cluster has the others. */
const inDryRuns = (id: string, text: string): string => {
  const [judged, ...others] = parseManifests(text, id)
  const store = fixtureStore([...parseManifests(cluster.text, cluster.file), ...others])
  const actions = [false, true].map((batch) => {
    const circumstances = circumstancesIn(store, { policy, dryRun: true, batch })
    const outcomes =
      judged?.kind === 'Service'
        ? judgeService(judged.object, store.service(judged.object), circumstances).outcomes
        : judged?.kind === 'VirtualService'
          ? judgeVirtualService(judged.object, undefined, circumstances).outcomes
          : []
    return [...new Set(outcomes.flatMap(({ rule, action }) => (rule === id ? [action] : [])))].join(' and ')
  })
  return actions.join(', ')
}

/** Another object is not there, and may be applied first. */
const missing = 'warn, warn'
/** Another object contradicts, and may change in the same batch. */
const mismatch = 'deny, warn'
/** It is wrong whatever else is applied. */
const wrong = 'deny, deny'

const expected: Readonly<Record<string, string>> = {
  'service-port-80': wrong,
  'service-reserved-port': wrong,
  'service-port-name': wrong,
  'service-port-unique': mismatch,
  'service-type': wrong,
  'service-headless': wrong,
  'service-selector': wrong,
  'service-gateway-label': wrong,
  'service-vip-missing': wrong,
  'service-vip-outside-pool': wrong,
  'service-vip-taken': mismatch,
  'service-in-use': mismatch,
  // Another VirtualService may serve the name on the mesh.
  'virtualservice-mesh-gateway': missing,
  // Its namespace is not of the mesh, where nothing is refused at all.
  'virtualservice-ambient': 'warn, warn',
  'virtualservice-host-form': wrong,
  'virtualservice-host-short': wrong,
  'virtualservice-host-unknown': missing,
  'virtualservice-host-headless': mismatch,
  'virtualservice-host-duplicate': mismatch,
  'virtualservice-host-foreign': wrong,
  'virtualservice-match-port': mismatch,
  'virtualservice-port-unrouted': mismatch,
  'virtualservice-route-protocol': mismatch,
  'virtualservice-route-unreachable': wrong,
  'virtualservice-delegate-unknown': missing,
  'virtualservice-delegate-conflict': mismatch,
  'virtualservice-destination-form': wrong,
  'virtualservice-destination-unknown': missing,
  'virtualservice-destination-port': mismatch,
  'virtualservice-destination-port-name': mismatch,
  'virtualservice-destination-protocol': mismatch,
  'virtualservice-destination-virtual-host': mismatch,
  'virtualservice-destination-empty': wrong,
  'virtualservice-subset-unknown': missing,
}

await t.test('in a dry run each rule knows whether the rest of a batch may mend what it finds', async (t) => {
  t.strictSame(Object.fromEntries(rules.map(({ id, bad }) => [id, inDryRuns(id, bad.text)])), expected)
})

const header = (kind: string, namespace: string, name: string, annotations = '{}') =>
  `{ apiVersion: ${kind === 'Service' ? 'v1' : 'networking.istio.io/v1'}, kind: ${kind}, metadata: { namespace: ${namespace}, name: ${name}, annotations: ${annotations} }, spec:`
const onOrders = (http: string, rest = '') =>
  `${header('VirtualService', 'shop', 'orders')} { hosts: [orders.shop.svc.cluster.local], gateways: [mesh], ${rest} http: [${http}] } }`
const to = (destination: string, rest = '') => onOrders(`{ route: [{ destination: ${destination} }] }`, rest)
const toItself = "'networking.istio.io/exportTo': '.'"
const bank = (type: string) =>
  `${header('Service', 'payments', 'bank', `{ ${toItself} }`)} { ${type} ports: [{ port: 3100, name: http }] } }`

await t.test('so it does where there are several reasons for a finding', async (t) => {
  const rows: [story: string, rule: string, expected: string, ...manifests: string[]][] = [
    [
      'a port whose protocol changes under a VirtualService',
      'service-in-use',
      mismatch,
      `${header('Service', 'shop', 'stock')} { selector: { app: stock }, ports: [{ name: tcp-api, port: 3120 }] } }`,
    ],
    [
      'a delegate that is not exported',
      'virtualservice-delegate-unknown',
      mismatch,
      onOrders('{ delegate: { name: routes, namespace: payments } }'),
      `${header('VirtualService', 'payments', 'routes')} { exportTo: ['.'] } }`,
    ],
    ['a delegate with hosts', 'virtualservice-delegate-unknown', mismatch, onOrders('{ delegate: { name: stock } }')],
    [
      'a destination that is not exported',
      'virtualservice-destination-unknown',
      mismatch,
      to('{ host: bank.payments.svc.cluster.local, port: { number: 3100 } }', `exportTo: ['.'],`),
      bank('selector: { app: bank },'),
    ],
    [
      'an alias of nothing',
      'virtualservice-destination-unknown',
      missing,
      to('{ host: alias.shop.svc.cluster.local, port: { number: 443 } }'),
      `${header('Service', 'shop', 'alias')} { type: ExternalName, externalName: pay.example.com, ports: [{ port: 3111, name: http }] } }`,
    ],
    [
      'a port that is left out',
      'virtualservice-destination-port',
      mismatch,
      to('{ host: orders-read.shop.svc.cluster.local }'),
    ],
    [
      'an alias without the port being listened on',
      'virtualservice-destination-port',
      mismatch,
      to('{ host: alias.shop.svc.cluster.local, port: { number: 3100 } }'),
      `${header('Service', 'shop', 'alias')} { type: ExternalName, externalName: orders-read.shop.svc.cluster.local, ports: [{ port: 3100, name: http }] } }`,
    ],
    [
      'a host that is not exported',
      'virtualservice-host-unknown',
      mismatch,
      `${header('VirtualService', 'shop', 'orders')} { hosts: [orders, bank.payments.svc.cluster.local], gateways: [mesh], exportTo: ['.'] } }`,
      bank(''),
    ],
    [
      'a host that no Service can have',
      'virtualservice-host-unknown',
      missing,
      `${header('VirtualService', 'shop', 'orders')} { hosts: [a.b.shop.svc.cluster.local], gateways: [mesh] } }`,
    ],
    [
      'gateways that do not say mesh, for a host that is there',
      'virtualservice-mesh-gateway',
      wrong,
      `${header('VirtualService', 'shop', 'orders')} { hosts: [orders.shop.svc.cluster.local] } }`,
    ],
    [
      'for one that may turn out to be no virtual host',
      'virtualservice-mesh-gateway',
      missing,
      `${header('VirtualService', 'shop', 'orders')} { hosts: [orders.shop.svc.cluster.local, nobody.shop.svc.cluster.local] } }`,
    ],
    [
      'matches that leave the mesh out',
      'virtualservice-mesh-gateway',
      wrong,
      onOrders('{ match: [{ gateways: [public] }] }'),
    ],
    [
      'for a host that may turn out to be no virtual host',
      'virtualservice-mesh-gateway',
      missing,
      `${header('VirtualService', 'shop', 'orders')} { hosts: [orders.shop.svc.cluster.local, nobody.shop.svc.cluster.local], gateways: [mesh], http: [{ match: [{ gateways: [public] }] }] } }`,
    ],
  ]
  for (const [story, rule, expected, ...manifests] of rows)
    t.equal(inDryRuns(rule, manifests.join('\n---\n')), expected, story)
})
