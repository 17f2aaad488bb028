import { createServer } from 'node:https'
import { json } from 'node:stream/consumers'
import type { Test } from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { KubernetesClient } from '../../src/kubernetes/client.ts'
import { loadKubeConfig } from '../../src/kubernetes/config.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { IPAddressClaims } from '../../src/vip/claims.ts'
import { Janitor } from '../../src/vip/janitor.ts'
import { ledger } from '../../src/vip/ledger.ts'
import { claim, storeOf } from '../support/objects.ts'
import {
  addressesOf,
  admits,
  type Cluster,
  claims,
  getObject,
  goodPorts,
  makeNamespace,
  serviceManifest,
  submit,
  testOnCluster,
  until,
} from './cluster.ts'

/** Something that waits until it is let go, and tells when it has come to wait. */
const gate = () => {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  return {
    reached: reached.promise,
    open: () => opened.resolve(),
    pass: () => {
      reached.resolve()
      return opened.promise
    },
  }
}

/**
 * A janitor beside the webhook's own, which is in no hurry here. It sees a claim that nobody needs, whatever there is. It has looked
 * once, and looks again only when told to.
 */
const startJanitor = async (t: Test, cluster: Cluster, orphan: { address: string; of: string }, grace: number) => {
  const deletion = gate()
  let look = gate()
  const answers: string[] = []
  class Paused extends KubernetesClient {
    override async delete(...args: Parameters<KubernetesClient['delete']>): Promise<unknown> {
      await deletion.pass()
      const deleted = super.delete(...args)
      deleted.then(
        () => answers.push('deleted'),
        (error) => answers.push(String(error.status)),
      )
      return deleted
    }
  }
  const client = new Paused(loadKubeConfig(cluster.kubeconfig))
  const clock = { now: 0 }
  const collected: string[] = []
  const janitor = new Janitor({
    client,
    claims: new IPAddressClaims(client),
    records: () => ledger(storeOf(claim(orphan.address, orphan.of)), defaultPolicy),
    onCollected: (address) => collected.push(address),
    onAdopted: () => {},
    onLook: () => look.pass(),
    onError: (error) => t.fail(String(error)),
    times: { interval: 1, grace },
    now: () => clock.now,
  })
  const stop = new AbortController()
  const running = janitor.run(stop.signal)
  t.teardown(async () => {
    deletion.open()
    stop.abort()
    look.open()
    await running
  })
  const looksAgain = async () => {
    const before = look
    look = gate()
    before.open()
    await look.reached
  }
  await look.reached
  return { deletion, answers, collected, clock, looksAgain }
}

const held = { labels: { race: 'held' } }

/** Another validating webhook, which keeps the API server from storing a Service with a label until it is let go. */
const holdStores = async (t: Test, cluster: Cluster) => {
  const store = gate()
  let asked = 0
  const { ca, ...tls } = await makeServingCertificate(['127.0.0.1'], new Date())
  const server = createServer(tls, async (request, response) => {
    const { request: review } = (await json(request)) as { request: { uid: string; dryRun: boolean } }
    asked++
    if (!review.dryRun) await store.pass()
    const answer = { uid: review.uid, allowed: true }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'holds-stores' },
    webhooks: [
      {
        name: 'holds.stores.test',
        clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: Buffer.from(ca).toString('base64') },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['services'] }],
        objectSelector: { matchLabels: held.labels },
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        timeoutSeconds: 30,
      },
    ],
  }
  await admits(t, cluster, configuration, 'stores can be held')
  t.teardown(async () => {
    store.open()
    await cluster.kubectl(['delete', 'validatingwebhookconfiguration', 'holds-stores'])
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  })
  const probe = serviceManifest('shop', 'probe', { ports: goodPorts }, held)
  t.ok(await until(async () => (await submit(cluster, ['create', '--dry-run=server'], probe)).code === 0 && asked > 0))
  return store
}

/** A virtual host was made and deleted: its address and the claim that is left of it. */
const leaveClaim = async (t: Test, cluster: Cluster, name: string) => {
  await admits(t, cluster, serviceManifest('shop', name, { ports: goodPorts }), 'it has an address')
  const [address = ''] = await addressesOf(cluster, 'shop', name)
  await cluster.kubectl(['delete', 'service', '-n', 'shop', name])
  return { address, of: `shop/${name}`, uid: await uidOf(cluster, address) }
}

/** The metadata of a claim, which is there. */
const metadataOf = async (cluster: Cluster, address: string) => {
  const { metadata } = (await getObject(cluster, ['ipaddress', address])) ?? {}
  return metadata as { uid: string; resourceVersion: string; annotations: Record<string, string> }
}

const uidOf = async (cluster: Cluster, address: string) => (await metadataOf(cluster, address))?.uid

await testOnCluster('a janitor and an admission at once', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')

  await t.test(
    'a Service that is made again between the last look at it and the deletion of its claim keeps it',
    async (t) => {
      const orphan = await leaveClaim(t, cluster, 'orders')
      const { deletion, answers, looksAgain, collected } = await startJanitor(t, cluster, orphan, 0)
      void looksAgain()
      await deletion.reached
      await admits(t, cluster, serviceManifest('shop', 'orders', { ports: goodPorts }), 'it is made again')
      deletion.open()
      t.ok(await until(async () => answers.length > 0))
      t.strictSame([answers[0], collected], ['409', []], 'the deletion is refused')
      t.strictSame(await addressesOf(cluster, 'shop', 'orders'), [orphan.address], 'it has its address')
      t.strictSame(await claims(cluster), [`${orphan.address} shop/orders`], 'and one has the claim')
      t.equal(await uidOf(cluster, orphan.address), orphan.uid, 'which is the same')
    },
  )

  await t.test('one that is claimed for and not stored yet keeps its claim, though it was ripe before', async (t) => {
    const orphan = await leaveClaim(t, cluster, 'carts')
    const store = await holdStores(t, cluster)
    const { clock, looksAgain, collected } = await startJanitor(t, cluster, orphan, 75_000)
    const storing = submit(cluster, ['create'], serviceManifest('shop', 'carts', { ports: goodPorts }, held))
    await store.reached
    clock.now = 76_000
    await looksAgain()
    clock.now += 59_000
    await looksAgain()
    const { annotations } = await metadataOf(cluster, orphan.address)
    t.strictSame(Object.keys(annotations), ['meshvip.dev/claimed-at'], 'it is not released')
    store.open()
    const { code, stderr } = await storing
    t.equal(code, 0, 'it is stored', { stderr })
    clock.now += 76_000
    await looksAgain()
    t.strictSame(await addressesOf(cluster, 'shop', 'carts'), [orphan.address], 'it has its address')
    t.equal(await uidOf(cluster, orphan.address), orphan.uid, 'and its claim')
    t.strictSame(collected, [])
  })

  await t.test('a touch at a time at which a claim was touched before moves its resourceVersion', async (t) => {
    const orphan = await leaveClaim(t, cluster, 'users')
    const client = new KubernetesClient(loadKubeConfig(cluster.kubeconfig))
    const now = new Date()
    class StoppedDate extends Date {
      constructor(value: number | string | Date = now) {
        super(value)
      }
    }
    t.intercept(globalThis, 'Date', { value: StoppedDate })
    const versions = new Set<unknown>()
    for (let touch = 0; touch < 3; touch++) {
      const service = { namespace: 'shop', name: 'users' }
      const options = { dryRun: false, signal: AbortSignal.timeout(10_000) }
      await new IPAddressClaims(client).claim(orphan.address, service, options)
      versions.add((await metadataOf(cluster, orphan.address)).resourceVersion)
    }
    t.equal(versions.size, 3)
  })
})
