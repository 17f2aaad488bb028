import t from 'tap'
import { parseService } from '../../src/api/service.ts'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { emit } from '../../src/istio/emission.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { isSelected, virtualHostBy, virtualServiceScope } from '../../src/rules/virtual-host.ts'
import { parseManifests } from '../../src/view/manifests.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import { fixtureStore } from '../fixtures/rules.ts'

const store = fixtureStore(
  parseManifests(
    `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: canary, labels: { istio.io/rev: canary } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: refused, labels: { istio.io/rev: canary, istio-injection: disabled } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: default, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: plain } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: istio-system, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: orders, namespace: shop }, spec: { ports: [{ name: http, port: 3111 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: front, namespace: shop }, spec: { selector: { app: a }, ports: [{ name: http, port: 80 }] } }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: database-1, namespace: shop, labels: { kubernetes.io/service-name: database } }
---
{ apiVersion: v1, kind: Endpoints, metadata: { name: legacy, namespace: shop } }
---
{ apiVersion: v1, kind: Endpoints, metadata: { name: former, namespace: shop, labels: { endpoints.kubernetes.io/managed-by: endpoint-controller } } }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: former-1
  namespace: shop
  labels: { kubernetes.io/service-name: former, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io }
`,
    'cluster.yaml',
  ),
)

const service = (metadata: object, spec: object = {}) =>
  parseService({ metadata: { namespace: 'shop', name: 'a', ...metadata }, spec: { ports: [], ...spec } })

const label = (value: string) => ({ labels: { 'meshvip.dev/virtual-host': value } })

await t.test('which Services are virtual hosts', async (t) => {
  const stories: [string, ReturnType<typeof service>, string | undefined][] = [
    ['a selectorless ClusterIP Service of the mesh', service({}), 'inference'],
    ['one in a namespace of a revision', service({ namespace: 'canary' }), 'inference'],
    ['one whose former selector left slices behind', service({ name: 'former' }), 'inference'],
    ['one outside the mesh', service({ namespace: 'plain' }), undefined],
    ['one in a namespace that says no to a revision', service({ namespace: 'refused' }), undefined],
    ['one in a system namespace, whatever its labels', service({ namespace: 'istio-system' }), undefined],
    ['one in a namespace that is not there', service({ namespace: 'nowhere' }), undefined],
    ['with a selector', service({}, { selector: { app: 'a' } }), undefined],
    ['headless', service({}, { clusterIP: 'None' }), undefined],
    ['of another type', service({}, { type: 'LoadBalancer' }), undefined],
    ['with a controller as owner', service({ ownerReferences: [{ controller: true }] }), undefined],
    ['with an owner that is no controller', service({ ownerReferences: [{ name: 'x' }] }), 'inference'],
    ['with endpoints made by hand', service({ name: 'database' }), undefined],
    ['with Endpoints made by hand, which no slice mirrors yet', service({ name: 'legacy' }), undefined],
    ['the one of the API server', service({ namespace: 'default', name: 'kubernetes' }), undefined],
    ['another one beside it', service({ namespace: 'default' }), 'inference'],
    [
      'labelled as one, whatever else',
      service({ namespace: 'plain', ...label('true') }, { type: 'NodePort' }),
      'label',
    ],
    ['labelled as none', service(label('false')), undefined],
    ['labelled with anything else', service(label('yes')), 'inference'],
  ]
  for (const [story, object, expected] of stories) {
    t.equal(virtualHostBy(object, store, defaultPolicy), expected, story)
  }
  t.equal(
    virtualHostBy(service({}), store, { virtualHosts: 'labelled' }),
    undefined,
    'nothing is inferred if so configured',
  )
  t.equal(virtualHostBy(service(label('true')), store, { virtualHosts: 'labelled' }), 'label')
})

await t.test('a namespace that manifests do not give counts as part of the mesh', async (t) => {
  const manifests = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: true })
  t.ok(isSelected('anything', manifests))
  t.notOk(isSelected('kube-system', manifests))
})

await t.test('whose business a VirtualService is', async (t) => {
  const served = fixtureStore(
    parseManifests(
      `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: orders, namespace: shop }, spec: { ports: [{ name: http, port: 3111 }] } }
---
{ apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: { name: mesh, namespace: shop }, spec: { hosts: [orders], gateways: [mesh] } }
`,
      'served.yaml',
    ),
  )
  const scope = (hosts: string[], gateways: string[], view = store, name = 'subject') => {
    const virtualService = parseVirtualService({ metadata: { namespace: 'shop', name }, spec: { hosts, gateways } })
    return virtualServiceScope(
      virtualService,
      emit(virtualService, { namespace: 'shop', labels: 'any' }, view, defaultPolicy),
      view,
      defaultPolicy,
    )
  }
  const full = 'orders.shop.svc.cluster.local'
  t.equal(scope([full], ['mesh']), 'virtual-host')
  t.equal(scope(['*.shop.svc.cluster.local'], []), 'virtual-host', 'a wildcard over a virtual host')
  t.equal(scope(['orders.shop'], ['mesh']), 'virtual-host', 'a misspelt virtual host')
  t.equal(scope(['front.shop'], ['mesh']), 'other', 'a misspelt ordinary Service')
  t.equal(scope(['10.0.0.1'], ['mesh']), 'other', 'an IP address')
  t.equal(scope(['nobody'], ['mesh']), 'virtual-host', 'a name of the cluster without Service')
  t.equal(scope(['front', 'nobody'], ['mesh']), 'virtual-host', 'be it beside an ordinary one')
  t.equal(scope(['front'], ['mesh']), 'other')
  t.equal(scope(['example.com'], []), 'other')
  t.equal(scope([], []), 'none', 'a delegate')
  t.equal(scope(['ORDERS.shop.svc.cluster.local'], ['public']), 'virtual-host', 'off the mesh, by its very name')
  t.equal(scope(['orders'], ['public']), 'virtual-host', 'off the mesh, by its short name')
  t.equal(scope(['*.shop.svc.cluster.local'], ['public']), 'none', 'off the mesh, by a wildcard')
  t.equal(scope(['front'], ['public']), 'none')
  t.equal(scope([full], ['public'], served), 'none', 'off the mesh, while another one serves the name there')
  t.equal(scope([full], ['public'], served, 'mesh'), 'virtual-host', 'it is not another one than itself')
  served.put({
    kind: 'VirtualService',
    object: parseVirtualService({
      metadata: { namespace: 'shop', name: 'wild' },
      spec: { hosts: ['*.shop.svc.cluster.local'] },
    }),
  })
  t.equal(scope([full], ['public'], served, 'mesh'), 'none', 'a wildcard serves it too')
})
