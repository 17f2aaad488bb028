import t from 'tap'
import { type Match, parseVirtualService } from '../../src/api/virtual-service.ts'
import { type Client, hasLabels, isForSomePods, isOnMesh, notGiven } from '../../src/istio/client.ts'

const anyPod: Client = { namespace: 'shop', labels: 'any' }
const front: Client = { namespace: 'shop', labels: new Map([['app', 'front']]) }

const match = (fields: object): Match => {
  const [route] = parseVirtualService({
    metadata: { namespace: 'shop', name: 'orders' },
    spec: { http: [{ match: [fields] }] },
  }).routes
  return route?.matches[0] as Match
}

t.test('sidecars see a VirtualService without gateways, and one that lists the mesh, letter by letter', async (t) => {
  t.equal(isOnMesh({ gateways: [] }), true)
  t.equal(isOnMesh({ gateways: ['public', 'mesh'] }), true)
  t.equal(isOnMesh({ gateways: ['Mesh', 'istio-system/mesh'] }), false)
})

t.test('a Pod has labels if it has all of them, and any Pod may', async (t) => {
  const both = new Map([
    ['app', 'front'],
    ['version', 'v1'],
  ])
  t.equal(hasLabels(front, new Map()), true)
  t.equal(hasLabels(front, new Map([['app', 'front']])), true)
  t.equal(hasLabels(front, both), false)
  t.equal(hasLabels(anyPod, both), true)
})

t.test('which matches a sidecar is given', async (t) => {
  const rows: [story: string, fields: object, http: ReturnType<typeof notGiven>, tcp: ReturnType<typeof notGiven>][] = [
    ['for everyone', {}, undefined, undefined],
    ['for another gateway', { gateways: ['public'] }, 'gateway', 'gateway'],
    ['for its namespace', { sourceNamespace: 'shop' }, undefined, undefined],
    ['for another namespace', { sourceNamespace: 'stock' }, 'source', 'source'],
    ['for Pods like it', { sourceLabels: { app: 'front' } }, undefined, undefined],
    ['for other Pods', { sourceLabels: { app: 'back' } }, 'source', 'source'],
    [
      'for the mesh by name, which makes an http match read over its source',
      { gateways: ['mesh'], sourceNamespace: 'stock', sourceLabels: { app: 'back' } },
      undefined,
      'source',
    ],
  ]
  for (const [story, fields, http, tcp] of rows) {
    t.equal(notGiven(match(fields), true, front), http, `http: ${story}`)
    t.equal(notGiven(match(fields), false, front), tcp, `tcp: ${story}`)
  }
})

t.test('a match by labels is for some Pods of a namespace, unless it reads over them', async (t) => {
  const labelled = match({ sourceLabels: { app: 'front' } })
  t.equal(isForSomePods(labelled, true, anyPod), true)
  t.equal(isForSomePods(labelled, true, front), false, 'one Pod is given it or not')
  t.equal(isForSomePods(match({}), true, anyPod), false)
  const listed = match({ gateways: ['mesh'], sourceLabels: { app: 'front' } })
  t.equal(isForSomePods(listed, true, anyPod), false)
  t.equal(isForSomePods(listed, false, anyPod), true)
})
