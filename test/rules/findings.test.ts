import t from 'tap'
import { parseCidr } from '../../src/api/address.ts'
import { parseService } from '../../src/api/service.ts'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { judgeService, judgeVirtualService, type Outcome } from '../../src/rules/judge.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { parseManifests } from '../../src/view/manifests.ts'
import { fixtureStore } from '../fixtures/rules.ts'
import { circumstancesIn } from '../support/circumstances.ts'

const store = fixtureStore(
  parseManifests(
    `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: payments, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: orders, namespace: shop }, spec: { ports: [{ name: http, port: 3111 }, { name: grpc, port: 3112 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: old, namespace: shop }, spec: { ports: [{ name: http, port: 80 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: read, namespace: shop }, spec: { selector: { app: a }, ports: [{ name: http, port: 3100 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: portless, namespace: shop }, spec: { selector: { app: a } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: both, namespace: shop }, spec: { selector: { app: a }, ports: [{ name: http, port: 3111 }, { name: dns, port: 53, protocol: UDP }] } }
---
apiVersion: networking.k8s.io/v1
kind: IPAddress
metadata: { name: 240.240.0.6 }
spec: { parentRef: { resource: services, namespace: shop, name: gone } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: everything, namespace: payments }
spec: { hosts: [everything.example.com], addresses: [240.0.0.0/4, 'fd00::/8'] }
---
{ apiVersion: v1, kind: Service, metadata: { name: ledger, namespace: payments }, spec: { externalIPs: [240.240.0.1], ports: [{ name: http, port: 3111 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: balancer, namespace: payments }, spec: { type: LoadBalancer, selector: { app: a } }, status: { loadBalancer: { ingress: [{ ip: 240.240.0.2 }, { hostname: a }] } } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: bank, namespace: payments }
spec: { hosts: [bank.example.com], addresses: [240.240.8.0/24], ports: [{ number: 443, protocol: TLS }] }
status: { addresses: [{ value: 240.240.0.3 }] }
---
apiVersion: networking.k8s.io/v1
kind: IPAddress
metadata: { name: 240.240.0.4 }
spec: { parentRef: { resource: services, namespace: shop, name: invoices } }
---
apiVersion: networking.k8s.io/v1
kind: IPAddress
metadata: { name: 240.240.0.5 }
spec: { parentRef: { group: example.com, resource: gateways, namespace: shop, name: public } }
`,
    'cluster.yaml',
  ),
)

const policy = { ...defaultPolicy, allowedExternalIPs: [parseCidr('198.51.100.0/24'), parseCidr('2001:db8::/32')] }
const circumstances = circumstancesIn(store, { policy })

const show = ({ action, rule, field, problem, fix }: Outcome): string =>
  `${action} ${rule} ${field}: ${problem}. Fix: ${fix}`

const serviceFindings = (spec: object, claimed = false): string[] =>
  judgeService(parseService({ metadata: { namespace: 'shop', name: 'invoices' }, spec }), undefined, {
    ...circumstances,
    claimed,
  }).outcomes.map(show)

const findings = (spec: object): string[] =>
  judgeVirtualService(
    parseVirtualService({ metadata: { namespace: 'shop', name: 'orders' }, spec }),
    undefined,
    circumstances,
  ).outcomes.map(show)

const ports = [{ name: 'http', port: 3200 }]
const tcp = { name: 'http', port: 3111 }
const orders = 'orders.shop.svc.cluster.local'
const read = 'read.shop.svc.cluster.local'
const toRead = { route: [{ destination: { host: read, port: { number: 3100 } } }] }
const mesh = { hosts: [orders], gateways: ['mesh'], http: [toRead] }

await t.test('Services', async (t) => {
  const stories: [string, object, string[]][] = [
    [
      'the only port may have no name, and then says no protocol',
      { externalIPs: ['240.240.0.4'], ports: [{ port: 3200 }] },
      [
        'deny service-port-name spec.ports[0].name: port 3200 has no name that says its protocol. Fix: put the protocol first, as in name: http (or grpc, tcp, tls, ...)',
      ],
    ],
    [
      'an appProtocol that Istio does not know replaces a good name',
      { externalIPs: ['240.240.0.4'], ports: [{ name: 'http-a', port: 3200, appProtocol: 'example.com/x' }] },
      [
        'deny service-port-name spec.ports[0].appProtocol: appProtocol "example.com/x" of port 3200 is none that Istio knows, and it replaces the name. Fix: write one that Istio knows, as in appProtocol: http, or leave it out and put the protocol first in the name',
      ],
    ],
    [
      'what a Service takes',
      { ports, externalIPs: ['240.240.0.1'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.1 belongs to Service payments/ledger. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    [
      'what a load balancer has',
      { ports, externalIPs: ['240.240.0.2'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.2 belongs to Service payments/balancer. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    [
      'what Istio gave to a ServiceEntry',
      { ports, externalIPs: ['240.240.0.3'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.3 belongs to ServiceEntry payments/bank. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    [
      'what lies in the range of a ServiceEntry',
      { ports, externalIPs: ['240.240.8.9'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.8.9 belongs to ServiceEntry payments/bank. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    ['what is claimed for this Service', { ports, externalIPs: ['240.240.0.4'] }, []],
    [
      'what is claimed for something else',
      { ports, externalIPs: ['240.240.0.5'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.5 belongs to gateways shop/public. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    [
      'what is claimed for a Service that is gone',
      { ports, externalIPs: ['240.240.0.6'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.6 is still claimed for Service shop/gone, which is not there. Fix: leave externalIPs out: a free address is written in; or apply it again in some minutes, when the claim has been collected',
      ],
    ],
    [
      'another spelling of what a Service takes',
      { ports, externalIPs: ['240.240.000.01'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.1 belongs to Service payments/ledger. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    [
      'what a Service takes, by an ordinary one, into which no address is written',
      { ports, selector: { app: 'a' }, externalIPs: ['240.240.0.1'] },
      [
        'deny service-vip-taken spec.externalIPs[0]: 240.240.0.1 belongs to Service payments/ledger. Fix: leave it out, or write one that is free (meshvip vips shows those that are not)',
      ],
    ],
    [
      'more than one address of the pool, even for an ordinary Service',
      { ports, selector: { app: 'a' }, externalIPs: ['240.240.0.4', '240.240.0.8', '240.240.0.9'] },
      [
        'deny service-vip-taken spec.externalIPs[1]: 240.240.0.8 is another address of the pools beside the first of its family. Fix: leave it out',
        'deny service-vip-taken spec.externalIPs[2]: 240.240.0.9 is another address of the pools beside the first of its family. Fix: leave it out',
      ],
    ],
    [
      'the last address of a pool is not in it',
      { ports, externalIPs: ['240.240.255.255', '240.240.0.4'] },
      [
        'deny service-vip-outside-pool spec.externalIPs[0]: 240.240.255.255 is the last address of 240.240.0.0/16, which nobody is given. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    [
      'an HTTP port whose listener Istio leaves out, and a TCP port of the same number',
      {
        externalIPs: ['240.240.0.4'],
        ports: [
          { name: 'http', port: 15021 },
          { name: 'tcp', port: 15021 },
        ],
      },
      [
        "deny service-reserved-port spec.ports[0].port: port 15021 is used by the sidecar's health checks. Fix: use another port, such as 8080, here, in match.port and in the callers",
        "deny service-reserved-port spec.ports[1].port: port 15021 is used by the sidecar's health checks. Fix: use another port, such as 8080, here, in match.port and in the callers",
      ],
    ],
    [
      'the first address of a pool is not in it',
      { ports, externalIPs: ['240.240.0.0', '240.240.0.4'] },
      [
        'deny service-vip-outside-pool spec.externalIPs[0]: 240.240.0.0 is the first address of 240.240.0.0/16, which nobody is given. Fix: leave externalIPs out: a free address is written in',
      ],
    ],
    ['allowed ranges', { ports, externalIPs: ['198.51.100.7', '2001:db8::1', '240.240.0.4'] }, []],
    [
      'an ordinary Service with an address of nobody’s',
      { ports, selector: { app: 'a' }, externalIPs: ['203.0.113.1'] },
      [
        'warn service-vip-outside-pool spec.externalIPs[0]: 203.0.113.1 is in no pool (240.240.0.0/16) and not on the allow-list. Fix: leave it out, or have the owners of the cluster allow it (allowedExternalIPs)',
      ],
    ],
  ]
  for (const [story, spec, expected] of stories) t.strictSame(serviceFindings(spec), expected, story)
})

await t.test('after mutation each address of a virtual host must be claimed for it', async (t) => {
  t.strictSame(serviceFindings({ ports, externalIPs: ['240.240.0.4'] }, true), [])
  t.strictSame(serviceFindings({ ports, externalIPs: ['240.240.0.77'] }, true), [
    'deny service-vip-taken spec.externalIPs[0]: 240.240.0.77 is not claimed for shop/invoices. Fix: apply it again',
  ])
  t.strictSame(
    serviceFindings({ ports, externalIPs: ['240.240.0.5'] }, true).map((text) => text.split(' ')[1]),
    ['service-vip-taken'],
    'a claim for somebody else is told once',
  )
})

await t.test('what is labelled as a virtual host and cannot be one is told what is in the way', async (t) => {
  const outcomes = (spec: object, network = '') =>
    judgeService(
      parseService({
        metadata: {
          namespace: 'shop',
          name: 'invoices',
          labels: { 'meshvip.dev/virtual-host': 'true', 'topology.istio.io/network': network },
        },
        spec: { ports, ...spec },
      }),
      undefined,
      circumstances,
    ).outcomes
  const labelled = (...given: Parameters<typeof outcomes>) => outcomes(...given).map(show)
  const fixed = 'or take the label meshvip.dev/virtual-host away'
  const type = (name: string) =>
    `deny service-type spec.type: type ${name} is not for virtual hosts. Fix: make it type: ClusterIP, ${fixed}`
  const selector = `deny service-selector spec.selector: a Service with a selector is not for virtual hosts. Fix: give the selector to a Service of its own and route to that, ${fixed}`
  const externalIPs = ['240.240.0.4']
  t.strictSame(labelled({ type: 'LoadBalancer' }), [type('LoadBalancer')])
  t.strictSame(labelled({ type: 'ExternalName', ports: [] }), [type('ExternalName')])
  t.strictSame(
    ['ExternalName', 'NodePort'].map((type) => outcomes({ type })[0]?.reason),
    [
      'it has no ClusterIP, and DNS answers with the name of another host',
      'it lets in callers without sidecar, for whom nothing stands behind it',
    ],
  )
  t.strictSame(labelled({ type: 'NodePort', selector: { app: 'a' }, externalIPs }), [selector, type('NodePort')])
  t.strictSame(labelled({ selector: { app: 'a' } }), [selector])
  t.strictSame(labelled({ clusterIP: 'None' }), [
    `deny service-headless spec.clusterIP: a headless Service is not for virtual hosts. Fix: make it anew without clusterIP: None, ${fixed}`,
  ])
  t.strictSame(labelled({ externalIPs }), [])
  t.strictSame(labelled({ externalIPs }, 'north'), [
    'deny service-gateway-label metadata.labels[topology.istio.io/network]: label topology.istio.io/network is for gateways between networks. Fix: take the label away',
  ])
})

await t.test('a port that other virtual hosts of the namespace have', async (t) => {
  const fix = 'Fix: use another port, here, in match.port and in the callers'
  const withPorts = (...numbers: number[]) => ({
    externalIPs: ['240.240.0.4'],
    ports: numbers.map((port) => ({ name: `http-${port}`, port })),
  })
  t.strictSame(serviceFindings(withPorts(3200, 3112, 3111)), [
    `warn service-port-unique spec.ports[1].port: port 3112 is that of virtual host shop/orders, too. ${fix}`,
    `warn service-port-unique spec.ports[2].port: port 3111 is that of virtual host shop/orders, too. ${fix}`,
  ])
  t.strictSame(serviceFindings(withPorts(3100)), [], 'that an ordinary Service has it is nobody’s business')
  t.strictSame(
    serviceFindings({ ...withPorts(), ports: [tcp, { ...tcp, name: 'udp', protocol: 'UDP' }] }),
    [`warn service-port-unique spec.ports[0].port: port 3111 is that of virtual host shop/orders, too. ${fix}`],
    'a port of two protocols is one',
  )
  const own = parseService({ metadata: { namespace: 'shop', name: 'orders' }, spec: withPorts(3111) })
  t.strictSame(
    judgeService(own, undefined, circumstances).outcomes.filter(({ rule }) => rule === 'service-port-unique'),
    [],
    'a virtual host has its own port',
  )
  const elsewhere = parseService({ metadata: { namespace: 'payments', name: 'a' }, spec: withPorts(3112) })
  t.strictSame(
    judgeService(elsewhere, undefined, circumstances).outcomes.map(({ rule }) => rule),
    ['service-vip-taken'],
  )
})

await t.test('of the Services with a port those are asked first that have an address, and few at all', async (t) => {
  const asked: string[] = []
  const named = (index: number, externalIPs: string[]) =>
    parseService({ metadata: { namespace: 'shop', name: `s-${index}` }, spec: { ports, externalIPs } })
  const candidates = Array.from({ length: 50 }, (_, index) => named(index, index === 49 ? ['240.240.0.49'] : []))
  const view = fixtureStore([])
  view.put({
    kind: 'Namespace',
    object: { namespace: '', name: 'shop', labels: new Map([['istio-injection', 'enabled']]) },
  })
  for (const object of candidates) view.put({ kind: 'Service', object })
  const endpoints = (madeByHand: boolean) => (service: { namespace: string; name: string }) => {
    asked.push(service.name)
    return { ...service, madeByHand }
  }
  const shared = (madeByHand: boolean) => {
    asked.length = 0
    view.endpoints = endpoints(madeByHand)
    const labels = { 'meshvip.dev/virtual-host': 'true' }
    return judgeService(
      parseService({
        metadata: { namespace: 'shop', name: 'a', labels },
        spec: { ports, externalIPs: ['240.240.0.4'] },
      }),
      undefined,
      { ...circumstances, view },
    ).outcomes.flatMap(({ rule, problem }) => (rule === 'service-port-unique' ? [problem] : []))
  }
  t.strictSame(shared(false), ['port 3200 is that of virtual host shop/s-49, too'])
  t.strictSame(asked, ['s-49'])
  t.strictSame(shared(true), [])
  t.equal(asked.length, 3)
})

await t.test('VirtualServices', async (t) => {
  const elsewhere = [{ ...toRead, match: [{ gateways: ['public'] }] }]
  const stories: [string, object, string[]][] = [
    ['a good one', mesh, []],
    [
      'absent gateways mean the mesh, but the runbook wants it said',
      { ...mesh, gateways: undefined },
      ['deny virtualservice-mesh-gateway spec.gateways: gateways does not say mesh. Fix: write gateways: [mesh]'],
    ],
    [
      'an ordinary Service’s is only told',
      { hosts: [read], http: [{ route: [{ destination: { host: read } }] }] },
      ['warn virtualservice-mesh-gateway spec.gateways: gateways does not say mesh. Fix: write gateways: [mesh]'],
    ],
    [
      'another spelling is the name of a Gateway',
      { ...mesh, gateways: ['public', 'Mesh'] },
      [
        'deny virtualservice-mesh-gateway spec.gateways[1]: "Mesh" names a Gateway object, not the mesh. Fix: write it as mesh, in lower case and without a namespace',
      ],
    ],
    [
      'nor has the mesh a namespace',
      { ...mesh, gateways: ['istio-system/mesh'] },
      [
        'deny virtualservice-mesh-gateway spec.gateways[0]: "istio-system/mesh" names a Gateway object, not the mesh. Fix: write it as mesh, in lower case and without a namespace',
      ],
    ],
    [
      'every match is for other gateways',
      { ...mesh, gateways: ['mesh', 'public'], http: elsewhere },
      [
        'deny virtualservice-mesh-gateway spec.http[0].match[0].gateways: no route is left for the mesh: the gateways of every match leave it out. Fix: add mesh to the gateways of the matches that are for the mesh, or leave them out there',
      ],
    ],
    [
      'a match is for another gateway, and a route for the mesh',
      { ...mesh, gateways: ['mesh', 'public'], http: [...elsewhere, toRead] },
      [],
    ],
    [
      'every http match is for another gateway, and a tcp route for the mesh',
      { ...mesh, gateways: ['mesh', 'public'], http: elsewhere, tcp: [toRead] },
      [],
    ],
    [
      'http routes and a tcp route, which a listed gateway may serve',
      { ...mesh, gateways: ['mesh', 'public'], http: [toRead], tcp: [toRead] },
      [],
    ],
    [
      'a tcp route on http ports, with nobody else to serve it',
      { ...mesh, http: [toRead], tcp: [toRead] },
      [
        'deny virtualservice-route-protocol spec.tcp[0]: no port of the hosts carries tcp routes. Fix: use a port named tcp, mongo, redis or mysql (its hosts have none), or write the route as one of the protocol that the port has',
      ],
    ],
    [
      'no routes at all',
      { ...mesh, http: [] },
      [
        'warn virtualservice-port-unrouted spec: no route serves port 3111 of Service shop/orders. Fix: add a route with match.port 3111, or take the port off the Service',
        'warn virtualservice-port-unrouted spec: no route serves port 3112 of Service shop/orders. Fix: add a route with match.port 3112, or take the port off the Service',
      ],
    ],
    [
      'a host is an IP address',
      { ...mesh, hosts: ['10.0.0.1'] },
      [
        'deny virtualservice-host-form spec.hosts[0]: host "10.0.0.1" is an IP address. Fix: write the full name of a Service, <service>.<namespace>.svc.cluster.local',
      ],
    ],
    [
      'a host with a trailing dot',
      { ...mesh, hosts: [`${orders}.`] },
      [
        `deny virtualservice-host-form spec.hosts[0]: host "${orders}." names no Service to Istio. Fix: write ${orders}`,
      ],
    ],
    [
      'a host in a form that does nothing, beside the one that serves',
      { ...mesh, hosts: [orders, 'orders.shop', 'orders.shop.svc'] },
      [
        'warn virtualservice-host-form spec.hosts[1]: host "orders.shop" names no Service to Istio. Fix: leave it out',
        'warn virtualservice-host-form spec.hosts[2]: host "orders.shop.svc" names no Service to Istio. Fix: leave it out',
      ],
    ],
    [
      'a host in a form that port 80 serves',
      { ...mesh, hosts: ['old.shop'] },
      [
        'warn virtualservice-host-form spec.hosts[0]: host "old.shop" names no Service to Istio. Fix: write old.shop.svc.cluster.local',
      ],
    ],
    [
      'a host that another gateway may serve literally',
      { ...mesh, gateways: ['mesh', 'public'], hosts: [orders, '10.0.0.1', 'read.shop'] },
      [
        'warn virtualservice-host-form spec.hosts[1]: host "10.0.0.1" is an IP address. Fix: write the full name of a Service, <service>.<namespace>.svc.cluster.local',
        'warn virtualservice-host-form spec.hosts[2]: host "read.shop" names no Service to Istio. Fix: write read.shop.svc.cluster.local',
      ],
    ],
    [
      'a name of two labels that may be a host of the Internet',
      { ...mesh, hosts: [orders, 'nobody.shop'] },
      [
        'warn virtualservice-host-form spec.hosts[1]: host "nobody.shop" names no Service to Istio. Fix: write nobody.shop.svc.cluster.local',
      ],
    ],
    [
      'a host that no Service can have',
      { ...mesh, hosts: ['a.b.shop.svc.cluster.local'] },
      [
        'deny virtualservice-host-unknown spec.hosts[0]: host "a.b.shop.svc.cluster.local" is no name that a Service can have, and no ServiceEntry has it. Fix: create a ServiceEntry for it first, or write <service>.<namespace>.svc.cluster.local',
      ],
    ],
    [
      'a foreign host without ServiceEntry',
      { ...mesh, hosts: [orders, 'api.example.com'] },
      [
        'warn virtualservice-host-unknown spec.hosts[1]: no ServiceEntry has the host "api.example.com". Fix: create a ServiceEntry for it, or correct the name',
      ],
    ],
    [
      'a wildcard over nothing',
      { ...mesh, hosts: [orders, '*.example.org'] },
      [
        'warn virtualservice-host-unknown spec.hosts[1]: nothing in the mesh lies under host "*.example.org". Fix: create a ServiceEntry for it, or correct the name',
      ],
    ],
    [
      'a foreign host that may be another gateway’s',
      { ...mesh, hosts: [orders, 'api.example.com'], gateways: ['mesh', 'public'] },
      [],
    ],
    ['a foreign host with a ServiceEntry', { ...mesh, hosts: [orders, 'bank.example.com'] }, []],
    [
      'a match port that no host has',
      { ...mesh, http: [{ ...toRead, match: [{ port: 9 }, { port: 3111 }] }] },
      [
        'deny virtualservice-match-port spec.http[0].match[0].port: no host has port 9. Fix: write a port of the hosts (3111, 3112), or leave it out to match them all',
      ],
    ],
    [
      'a match port that a listed gateway may have',
      { ...mesh, gateways: ['mesh', 'public'], http: [{ ...toRead, match: [{ port: 9 }] }] },
      [],
    ],
    [
      'a match port for the mesh alone, beside other gateways',
      { ...mesh, gateways: ['mesh', 'public'], http: [{ ...toRead, match: [{ port: 9, gateways: ['mesh'] }] }] },
      [
        'deny virtualservice-match-port spec.http[0].match[0].port: no host has port 9. Fix: write a port of the hosts (3111, 3112), or leave it out to match them all',
      ],
    ],
    [
      'the ports of a host that is not there are unknown',
      { ...mesh, hosts: [orders, 'nobody'], http: [{ ...toRead, match: [{ port: 9 }] }] },
      [
        'deny virtualservice-host-unknown spec.hosts[1]: there is no Service shop/nobody. Fix: create the Service first, or correct the name',
      ],
    ],
    [
      'a destination in upper case',
      {
        ...mesh,
        http: [{ route: [{ destination: { host: 'Read.shop.svc.cluster.local', port: { number: 3100 } } }] }],
      },
      [
        'deny virtualservice-destination-form spec.http[0].route[0].destination.host: destination "Read.shop.svc.cluster.local" names no Service to Istio. Fix: write read.shop.svc.cluster.local',
      ],
    ],
    [
      'a foreign destination without ServiceEntry',
      { ...mesh, http: [{ route: [{ destination: { host: 'api.example.com', port: { number: 443 } } }] }] },
      [
        'deny virtualservice-destination-unknown spec.http[0].route[0].destination.host: no Service and no ServiceEntry has the host "api.example.com". Fix: create the ServiceEntry first, or correct the name',
      ],
    ],
    [
      'a mirror is a destination too',
      { ...mesh, http: [{ ...toRead, mirror: { host: 'nobody', port: { number: 3100 } } }] },
      [
        'deny virtualservice-destination-unknown spec.http[0].mirror.host: there is no Service shop/nobody. Fix: create the Service first, or correct the name',
      ],
    ],
    [
      'a port that the destination does not have',
      { ...mesh, http: [{ route: [{ destination: { host: 'read', port: { number: 3111 } } }] }] },
      [
        'deny virtualservice-destination-port spec.http[0].route[0].destination.port.number: "read" has no port 3111. Fix: write a port that it has (it has 3100), or add port 3111 to it',
      ],
    ],
    [
      'a port left out, that one of the ports being listened on can do without',
      { ...mesh, http: [{ route: [{ destination: { host: 'both' } }] }] },
      [
        'warn virtualservice-destination-port spec.http[0].route[0].destination.port: no port is given, so a sidecar takes the port it listens on, 3112, which "both" does not have. Fix: add port.number: 3111 (it has 3111)',
      ],
    ],
    [
      'a match port where the hosts have none',
      { ...mesh, hosts: ['portless.shop.svc.cluster.local'], http: [{ ...toRead, match: [{ port: 9 }] }] },
      [
        'deny virtualservice-match-port spec.http[0].match[0].port: no host has port 9. Fix: write a port of the hosts (they have none for http), or leave it out to match them all',
      ],
    ],
    [
      'a match on port 80, which only others have',
      { ...mesh, hosts: ['portless.shop.svc.cluster.local'], http: [{ ...toRead, match: [{ port: 80 }] }] },
      [
        'warn virtualservice-match-port spec.http[0].match[0].port: no host has port 80. Fix: write a port of the hosts (they have none for http), or leave it out to match them all',
      ],
    ],
    [
      'a port left out, on a destination without ports',
      { ...mesh, http: [{ route: [{ destination: { host: 'portless' } }] }] },
      [
        'deny virtualservice-destination-port spec.http[0].route[0].destination.port: no port is given, so a sidecar takes the port it listens on, 3111, which "portless" does not have. Fix: add port.number: <port> (it has none)',
      ],
    ],
  ]
  for (const [story, spec, expected] of stories) t.strictSame(findings(spec), expected, story)
})
