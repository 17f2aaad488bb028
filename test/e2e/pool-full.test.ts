import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { apply } from '../testbed/webhook.ts'
import { type Answer, openApi } from './api.ts'
import { claims, goodPorts, serviceManifest, testOnCluster, until } from './cluster.ts'
import { type Instance, startInstances, startReplica } from './instances.ts'
import { serviceEntry } from './storm.ts'

const writers = 16
const services = '/api/v1/namespaces/shop/services'

/** What is in the pool and had by others before meshvip comes. */
const before = { service: '10.77.0.7', entry: '10.77.0.200' }

/** All that can be had, sorted as texts. */
const free = Array.from({ length: 254 }, (_, index) => `10.77.0.${index + 1}`)
  .filter((address) => !Object.values(before).includes(address))
  .sort()

/** Seconds that the API server gives a request of ours; a claim is collected when it was orphaned for longer. */
const requestLimit = 4
const collect = { interval: 250, grace: 1250 * requestLimit }

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`)

/** Does something for each, so many at a time. */
const forEach = async <T>(all: readonly T[], run: (one: T) => Promise<void>): Promise<void> => {
  const rest = all.values()
  const write = async () => {
    for (const one of rest) await run(one)
  }
  await Promise.all(Array.from({ length: writers }, write))
}

await testOnCluster(
  'a pool of which every address is taken',
  async (t, cluster) => {
    const config = join(cluster.dir, 'config.yaml')
    const { instances } = await startInstances(t, cluster, 2, (own) =>
      startReplica(t, { ...own, kubeconfig: cluster.kubeconfig, config, collect }),
    )
    const api = openApi(cluster)
    t.teardown(() => api.close())

    const isFull = ({ warning }: Answer) => /no address is free in .*10\.77\.0\.0\/24/.test(warning)
    // Mutation fails open: on a busy machine it may not have been reached in time.
    const isAnswered = (answer: Answer) =>
      answer.status < 500 && (isFull(answer) || !answer.text.includes('[service-vip-missing]'))
    /** Creates virtual hosts; resolves to the answers to those that are not there. */
    const createAll = async (all: readonly string[]): Promise<Answer[]> => {
      const refused: Answer[] = []
      await forEach(all, async (name) => {
        const manifest = serviceManifest('shop', name, { ports: goodPorts })
        let answer: Answer | undefined
        await until(async () => {
          answer = await api.send('POST', `${services}?timeout=${requestLimit}s`, manifest)
          return isAnswered(answer)
        })
        if (answer !== undefined && answer.status !== 201 && answer.status !== 409) refused.push(answer)
      })
      return refused
    }
    /** The virtual hosts that meshvip gave an address. */
    const hosts = async () => {
      type Item = { metadata: { name: string }; spec: { externalIPs?: string[] } }
      const { items } = JSON.parse((await api.send('GET', services)).text) as { items: Item[] }
      return items.filter(({ metadata }) => metadata.name !== 'old')
    }
    const given = async () => (await hosts()).flatMap(({ spec }) => spec.externalIPs ?? []).sort()
    const claimed = async () => (await claims(cluster)).map((claim) => claim.split(' ')[0])
    const claimsInView = async ({ readyURL }: Instance): Promise<number> => {
      const metrics = await (await fetch(new URL('/metrics', readyURL))).text()
      return Number(/^meshvip_view_objects\{kind="IPAddress"\} (\d+)$/m.exec(metrics)?.[1])
    }

    // That of the Service from before is claimed for it as soon as an instance looks after the addresses.
    const all = [...free, before.service].sort()
    t.ok(await until(async () => (await claimed()).includes(before.service)), 'what was there before is adopted')

    await t.test('writers that race for it get each address once, and then are told that it is full', async (t) => {
      const refused = await createAll(names('first', 300))
      t.strictSame(await given(), free, 'all that nobody had before is given, and once')
      t.strictSame(await claimed(), all, 'and claimed')
      t.equal(refused.length, 300 - free.length, 'all others are refused')
      const others = refused.filter((answer) => !isFull(answer) || !answer.text.includes('10.77.0.0/24'))
      t.strictSame(others, [], 'and told of the pool that it is full')
    })

    await t.test('what is deleted is given again, to the last address', async (t) => {
      const [first, ...others] = (await hosts()).slice(0, 60).map(({ metadata }) => `${services}/${metadata.name}`)
      await api.send('DELETE', String(first))
      t.equal((await createAll(['early'])).length, 1, 'while the claim is kept it is full')
      await forEach(others, async (path) => {
        await api.send('DELETE', path)
      })
      const freed = 1 + others.length
      const isCollected = await until(async () => {
        const counts = await Promise.all(instances.map(claimsInView))
        return counts.every((count) => count === all.length - freed)
      })
      t.ok(isCollected, 'all that nobody needs any more is collected')
      const refused = await createAll(names('second', 100))
      t.equal(refused.length, 100 - freed, 'as many are admitted as were deleted')
      t.strictSame(await given(), free, 'each with one of the addresses')
      t.strictSame(await claimed(), all)
    })
  },
  async (controlPlane) => {
    const namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } },
    }
    const old = serviceManifest('shop', 'old', { ports: goodPorts, externalIPs: [before.service] })
    const entry = serviceEntry('shop', 'bank', ['bank.example.com'], 443, [before.entry])
    for (const object of [namespace, old, entry]) await apply(controlPlane, JSON.stringify(object))
    const config = join(controlPlane.dir, 'config.yaml')
    await writeFile(config, 'pools: [{ cidr: 10.77.0.0/24 }]\n')
    return { config }
  },
)
