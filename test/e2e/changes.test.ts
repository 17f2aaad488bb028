import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import type { KubectlResult } from '../testbed/kubectl.ts'
import {
  addressesOf,
  admits,
  type Cluster,
  claims,
  claimsOf,
  getObject,
  goodPorts,
  makeNamespace,
  serviceManifest,
  submit,
  testOnCluster,
  until,
  withoutWebhooks,
} from './cluster.ts'

/** Changes an object of a name with kubectl. Its result has the object on the standard output, as JSON. */
type Change = (name: string, ...args: string[]) => Promise<KubectlResult>

/** How kubectl changes the objects of a resource. */
const waysOf = (cluster: Cluster, resource: string) => {
  /** Of some changes kubectl does not print what the API server answered. */
  const thenGet = async (change: Promise<KubectlResult>, name: string): Promise<KubectlResult> => {
    const result = await change
    if (result.code !== 0) return result
    return { ...(await cluster.kubectl(['get', resource, '-n', 'shop', name, '-o', 'json'])), stderr: result.stderr }
  }
  return {
    /** With a manifest. */
    submits:
      (args: string[], manifest: (name: string) => object): Change =>
      (name, ...more) =>
        submit(cluster, [...args, '-o', 'json', ...more], manifest(name)),
    patches:
      (type: 'merge' | 'json' | 'strategic', patch: object, ...args: string[]): Change =>
      (name, ...more) => {
        const patching = ['patch', resource, '-n', 'shop', name, `--type=${type}`, '-p', JSON.stringify(patch)]
        return cluster.kubectl([...patching, '-o', 'json', ...args, ...more])
      },
    edits:
      (script: string): Change =>
      (name) =>
        thenGet(cluster.kubectl(['edit', resource, '-n', 'shop', name], { editor: `sed -i '${script}'` }), name),
    /** kubectl label, kubectl annotate. */
    notes:
      (verb: 'label' | 'annotate', ...args: string[]): Change =>
      (name) =>
        thenGet(cluster.kubectl([verb, resource, '-n', 'shop', name, ...args]), name),
    /** Deletes it, and makes one of the same name. */
    renews:
      (manifest: (name: string) => object): Change =>
      async (name) => {
        await cluster.kubectl(['delete', resource, '-n', 'shop', name])
        return submit(cluster, ['create', '-o', 'json'], manifest(name))
      },
  }
}

const serverSide = (manager: string) => ['apply', '--server-side', '--force-conflicts', `--field-manager=${manager}`]

/** Some of what kubectl printed. --force prints a line before. */
const printed = <T>({ stdout }: KubectlResult): T => JSON.parse(stdout.slice(stdout.indexOf('{')))

type Printed = {
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  spec: { clusterIP: string; ports: { port: number }[]; externalIPs?: string[] }
  status: { conditions?: object[] }
}

const virtualHost = (name: string, spec: object = {}, metadata: object = {}) =>
  serviceManifest('shop', name, { ports: goodPorts, ...spec }, metadata)

await testOnCluster('an address through all changes', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')
  const { submits, patches, edits, notes, renews } = waysOf(cluster, 'service')

  const more = { ports: [...goodPorts, { name: 'http-more', port: 3222 }] }
  const withMore = (name: string) => virtualHost(name, more)
  const hasMore = ({ spec }: Printed) => spec.ports.some(({ port }) => port === 3222)
  const isLabelled = ({ metadata }: Printed) => metadata.labels?.team === 'a'
  const isAnnotated = ({ metadata }: Printed) => metadata.annotations?.note === 'a'
  const time = '2026-01-01T00:00:00Z'
  const condition = { type: 'Seen', status: 'True', reason: 'Seen', message: '', lastTransitionTime: time }
  const hasCondition = ({ status }: Printed) => status.conditions?.length === 1
  const digits = (name: string) => name.replace(/\D/g, '')
  /** The API server refuses to change it, and --force makes a new Service. */
  const otherClusterIP = (name: string) => `10.97.200.${digits(name)}`
  /** What was taken out is there again: that is looked at for all. */
  const isWhole = () => true

  const changes: [string, Change, (service: Printed, name: string) => boolean][] = [
    ['apply', submits(['apply'], withMore), hasMore],
    ['server-side apply', submits(serverSide('team'), withMore), hasMore],
    ['replace', submits(['replace'], withMore), hasMore],
    ['a merge patch', patches('merge', { spec: more }), hasMore],
    ['a JSON patch', patches('json', [{ op: 'add', path: '/spec/ports/-', value: more.ports[1] }]), hasMore],
    ['a strategic patch', patches('strategic', { spec: { ports: [more.ports[1]] } }), hasMore],
    ['edit', edits('s/ port: 3111/ port: 3222/'), hasMore],
    ['label', notes('label', 'team=a'), isLabelled],
    ['annotate', notes('annotate', 'note=a'), isAnnotated],
    ['a merge patch of the labels', patches('merge', { metadata: { labels: { team: 'a' } } }), isLabelled],
    [
      'server-side apply of an annotation',
      submits(serverSide('team'), (name) => virtualHost(name, {}, { annotations: { note: 'a' } })),
      isAnnotated,
    ],
    [
      'a patch of the status',
      patches('merge', { status: { conditions: [condition] } }, '--subresource=status'),
      hasCondition,
    ],
    ['a replace that leaves it out', submits(['replace'], (name) => virtualHost(name)), isWhole],
    ['a merge patch to null', patches('merge', { spec: { externalIPs: null } }), isWhole],
    ['a merge patch to an empty list', patches('merge', { spec: { externalIPs: [] } }), isWhole],
    ['a JSON patch that removes it', patches('json', [{ op: 'remove', path: '/spec/externalIPs' }]), isWhole],
    [
      'a JSON patch that removes the element',
      patches('json', [{ op: 'remove', path: '/spec/externalIPs/0' }]),
      isWhole,
    ],
    ['a strategic patch to null', patches('strategic', { spec: { externalIPs: null } }), isWhole],
    ['an edit that removes it', edits('/externalIPs:/,+1d'), isWhole],
    [
      'server-side apply of an empty list',
      submits(serverSide('team'), (name) => virtualHost(name, { externalIPs: [] })),
      isWhole,
    ],
    ['replace --force', submits(['replace', '--force'], withMore), hasMore],
    [
      'apply --force',
      submits(['apply', '--force'], (name) => virtualHost(name, { clusterIP: otherClusterIP(name) })),
      ({ spec }, name) => spec.clusterIP === otherClusterIP(name),
    ],
    ['delete and create', renews(withMore), hasMore],
  ]
  const starts: [string, string, (name: string) => object][] = [
    ['given', 'given-1', () => ({})],
    ['picked by hand', 'picked-2', (name) => ({ externalIPs: [`240.240.1.${digits(name)}`] })],
  ]
  for (const [origin, prefix, spec] of starts) {
    for (const [index, [way, change, isChanged]] of changes.entries()) {
      await t.test(`one that was ${origin} stays, by ${way}`, async (t) => {
        const name = `${prefix}${index}`
        await admits(t, cluster, virtualHost(name, spec(name)), 'it is created')
        const before = await addressesOf(cluster, 'shop', name)
        t.equal(before.length, 1)
        const result = await change(name)
        t.equal(result.code, 0, 'it is changed', { stderr: result.stderr })
        const service = printed<Printed>(result)
        t.ok(isChanged(service, name), 'as was asked', { service })
        t.strictSame(service.spec.externalIPs, before, 'the address is in the answer to the change')
        t.strictSame(await claimsOf(cluster, 'shop', name), before, 'and is what is claimed for it')
      })
    }
  }

  await t.test('a Service with generateName has its claim under the name that it gets', async (t) => {
    const manifest = { ...virtualHost(''), metadata: { namespace: 'shop', generateName: 'job-' } }
    const result = await submit(cluster, ['create', '-o', 'json'], manifest)
    t.equal(result.code, 0, 'it is created', { stderr: result.stderr })
    const { metadata, spec } = printed<Printed>(result)
    t.match(metadata.name, /^job-[0-9a-f]{8}$/)
    t.equal(spec.externalIPs?.length, 1)
    t.strictSame(await claimsOf(cluster, 'shop', metadata.name), spec.externalIPs)
  })

  await t.test(
    'a Service that waits for a finalizer is changed as one likes, and its successor has the address',
    async (t) => {
      await admits(t, cluster, virtualHost('leaving', {}, { finalizers: ['example.com/wait'] }), 'it is created')
      const before = await addressesOf(cluster, 'shop', 'leaving')
      t.equal(before.length, 1)
      await cluster.kubectl(['delete', 'service', '-n', 'shop', 'leaving', '--wait=false'])
      const port80 = { ports: [{ name: 'web', port: 80 }], externalIPs: null }
      for (const change of [notes('label', 'team=a'), patches('merge', { spec: port80 })]) {
        const { code, stderr } = await change('leaving')
        t.equal(code, 0, 'it is changed', { stderr })
      }
      await patches('merge', { metadata: { finalizers: null } })('leaving')
      t.equal(await getObject(cluster, ['service', '-n', 'shop', 'leaving']), undefined, 'it is gone')
      await admits(t, cluster, virtualHost('leaving'), 'it is made again')
      t.strictSame(await addressesOf(cluster, 'shop', 'leaving'), before)
      t.strictSame(await claimsOf(cluster, 'shop', 'leaving'), before)
    },
  )
})

/** A VirtualService that sends what comes to `orders` on a port, under a prefix, to `orders-read`. */
const route = (name: string, port: number, prefix: string, metadata: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { namespace: 'shop', name, ...metadata },
  spec: {
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh'],
    http: [
      {
        match: [{ port, uri: { prefix } }],
        route: [{ destination: { host: 'orders-read.shop.svc.cluster.local', port: { number: 3111 } } }],
      },
    ],
  },
})

await testOnCluster('a VirtualService through all changes', async (t, cluster) => {
  await makeNamespace(cluster, 'shop')
  await admits(t, cluster, virtualHost('orders'), 'the virtual host')
  await admits(t, cluster, virtualHost('orders-read', { selector: { app: 'read' } }), 'the destination')
  const { submits, patches, edits, notes } = waysOf(cluster, 'virtualservice')

  /** A change of the port and the prefix, by each way. */
  const changes: [string, (port: number, prefix: string) => Change][] = [
    ['apply', (...to) => submits(['apply'], (name) => route(name, ...to))],
    ['apply --force', (...to) => submits(['apply', '--force'], (name) => route(name, ...to))],
    ['server-side apply', (...to) => submits(serverSide('team'), (name) => route(name, ...to))],
    ['replace', (...to) => submits(['replace'], (name) => route(name, ...to))],
    ['a merge patch', (...to) => patches('merge', { spec: route('', ...to).spec })],
    [
      'a JSON patch',
      (port, prefix) =>
        patches('json', [{ op: 'add', path: '/spec/http/0/match/0', value: { port, uri: { prefix } } }]),
    ],
    ['edit', (port, prefix) => edits(`s/ port: .*/ port: ${port}/; s#prefix: .*#prefix: ${prefix}#`)],
  ]
  await admits(t, cluster, route('orders', 3111, '/'), 'it is created')
  for (const [index, [way, change]] of changes.entries()) {
    await t.test(`a good one passes and a bad one is refused, by ${way}`, async (t) => {
      const prefix = `/${index}`
      const good = await change(3111, prefix)('orders')
      t.equal(good.code, 0, 'the good one', { stderr: good.stderr })
      t.match(printed(good), { spec: { http: [{ match: [{ port: 3111, uri: { prefix } }] }] } }, 'is what was asked')
      const bad = await change(9, '/bad')('orders')
      t.equal(bad.code, 1, 'the bad one')
      t.match(bad.stderr, /no host has port 9: .*\[virtualservice-match-port\]/)
      const stored = await getObject(cluster, ['virtualservice', '-n', 'shop', 'orders'])
      t.strictSame(stored?.spec, printed<{ spec: object }>(good).spec, 'changes nothing')
    })
  }

  await t.test('replace --force deletes it before it is refused', async (t) => {
    const force = (port: number) => submits(['replace', '--force'], (name) => route(name, port, '/'))('orders')
    t.equal((await force(3111)).code, 0, 'the good one')
    const bad = await force(9)
    t.equal(bad.code, 1, 'the bad one')
    t.match(bad.stderr, /no host has port 9/)
    t.equal(await getObject(cluster, ['virtualservice', '-n', 'shop', 'orders']), undefined)
  })

  const wrong = (metadata: object) => (name: string) => route(name, 9, '/', metadata)
  const labelled = (way: string) => ({ labels: { way } })
  const metadataChanges: [string, (value: string) => Change][] = [
    ['apply', (value) => submits(['apply'], wrong(labelled(value)))],
    ['server-side apply', (value) => submits(serverSide('team'), wrong(labelled(value)))],
    ['replace', (value) => submits(['replace'], wrong(labelled(value)))],
    ['a merge patch', (value) => patches('merge', { metadata: labelled(value) })],
    ['a JSON patch', (value) => patches('json', [{ op: 'add', path: '/metadata/labels/way', value }])],
    ['edit', (value) => edits(`s/ way: .*/ way: "${value}"/`)],
    ['label', (value) => notes('label', `way=${value}`, '--overwrite')],
  ]
  await withoutWebhooks(cluster, 'all', () => admits(t, cluster, wrong(labelled('none'))('old'), 'one that is wrong'))
  for (const [index, [way, change]] of metadataChanges.entries()) {
    await t.test(`nobody minds what was wrong before when its labels are changed, by ${way}`, async (t) => {
      const result = await change(`${index}`)('old')
      t.equal(result.code, 0, 'it is changed', { stderr: result.stderr })
      t.match(printed(result), { metadata: labelled(`${index}`) })
      t.notMatch(result.stderr, 'port 9')
    })
  }
  for (const [what, change] of [
    ['annotated', notes('annotate', 'note=a')],
    ['given a status', patches('merge', { status: { observedGeneration: 1 } }, '--subresource=status')],
  ] as const) {
    await t.test(`nor when it is ${what}`, async (t) => {
      const result = await change('old')
      t.equal(result.code, 0, 'it is changed', { stderr: result.stderr })
      t.notMatch(result.stderr, 'port 9')
    })
  }
})

/** Milliseconds after which claims are collected here, and how often they are looked for. */
const [grace, interval] = [1_000, 200]

await testOnCluster(
  'an address that is let go',
  async (t, cluster) => {
    await makeNamespace(cluster, 'shop')
    const { submits, patches, renews } = waysOf(cluster, 'service')
    /** Server-side apply of a part by somebody else than who made it. */
    const applies = (spec: object) =>
      submits(serverSide('others'), (name) => {
        const { apiVersion, kind, metadata } = virtualHost(name)
        return { apiVersion, kind, metadata, spec }
      })
    const creates = async (t: Test, manifest: object) => {
      const { code, stderr } = await submit(cluster, serverSide('team'), manifest)
      t.equal(code, 0, 'it is created', { stderr })
    }

    const selector = { selector: { app: 'a' } }
    const label = (value: 'true' | 'false' | null) => ({ labels: { 'meshvip.dev/virtual-host': value } })
    const owner = { apiVersion: 'serving.knative.dev/v1', kind: 'Route', name: 'a', uid: 'a', controller: true }
    const owned = { ...label('true'), ownerReferences: [owner] }
    const typed = (type: string) => patches('merge', { spec: { type } })
    const external = { type: 'ExternalName', externalName: 'example.com' }
    /** A virtual host and what makes it an ordinary Service. */
    const farewells: [string, Change, object?, object?][] = [
      ['the label "false"', patches('merge', { metadata: label('false') })],
      ['the label "true" taken away', patches('merge', { metadata: label(null) }), {}, owned],
      ['a selector', patches('merge', { spec: selector })],
      ['the type NodePort', typed('NodePort')],
      ['the type LoadBalancer', typed('LoadBalancer')],
      ['the type ExternalName', patches('merge', { spec: external })],
      ['the type ExternalName and no ports', patches('merge', { spec: { ...external, ports: null } })],
      ['server-side apply of a selector', applies(selector)],
    ]
    for (const [index, [what, change, spec, metadata]] of farewells.entries()) {
      const none = (result: KubectlResult) => printed<Printed>(result).spec.externalIPs ?? []

      await t.test(`one that was given is taken back by ${what}`, async (t) => {
        const name = `given-${index}`
        await creates(t, virtualHost(name, spec, metadata))
        const before = await addressesOf(cluster, 'shop', name)
        t.equal(before.length, 1)

        const dryRun = await change(name, '--dry-run=server')
        t.equal(dryRun.code, 0, 'a dry run', { stderr: dryRun.stderr })
        t.strictSame(none(dryRun), [], 'says so')
        t.strictSame(await addressesOf(cluster, 'shop', name), before, 'and changes nothing')
        t.strictSame(await claimsOf(cluster, 'shop', name), before)

        const result = await change(name)
        t.equal(result.code, 0, 'it is changed', { stderr: result.stderr })
        t.strictSame(none(result), [], 'the address is gone in the answer to the change')
        t.ok(await until(async () => (await claimsOf(cluster, 'shop', name)).length === 0), 'the claim is collected')
      })

      await t.test(`one that was picked by hand stays, by ${what}`, async (t) => {
        const name = `picked-${index}`
        const picked = [`240.240.1.${index + 1}`]
        await creates(t, virtualHost(name, { ...spec, externalIPs: picked }, metadata))
        const result = await change(name)
        t.equal(result.code, 0, 'it is changed', { stderr: result.stderr })
        t.strictSame(none(result), picked, 'the address is in the answer to the change')
        t.strictSame(await claimsOf(cluster, 'shop', name), picked)
      })
    }

    await t.test('a headless Service in place of a virtual host has none', async (t) => {
      await admits(t, cluster, virtualHost('headless'), 'it is created')
      t.equal((await addressesOf(cluster, 'shop', 'headless')).length, 1)
      const result = await renews((name) => virtualHost(name, { clusterIP: 'None', ...selector }))('headless')
      t.equal(result.code, 0, 'it is made again', { stderr: result.stderr })
      t.ok(
        await until(async () => (await claimsOf(cluster, 'shop', 'headless')).length === 0),
        'the claim is collected',
      )
    })

    await t.test('one that was let go can be given to another by hand', async (t) => {
      await admits(t, cluster, virtualHost('testator'), 'it has an address')
      const externalIPs = await addressesOf(cluster, 'shop', 'testator')
      await cluster.kubectl(['delete', 'service', '-n', 'shop', 'testator'])
      const early = await submit(cluster, ['create'], virtualHost('heir', { externalIPs }))
      t.match(
        early.stderr,
        `${externalIPs[0]} is still claimed for Service shop/testator, which is not there`,
        'at first not',
      )
      t.ok(
        await until(async () => (await claimsOf(cluster, 'shop', 'testator')).length === 0),
        'the claim is collected',
      )
      await admits(t, cluster, virtualHost('heir', { externalIPs }), 'and then it is')
      t.strictSame(await claimsOf(cluster, 'shop', 'heir'), externalIPs)
    })

    await t.test('another that is picked by hand takes its place', async (t) => {
      const becomes = async (address: string, change: Change) => {
        const result = await change('mover')
        t.equal(result.code, 0, 'it is changed', { stderr: result.stderr })
        t.strictSame(printed<Printed>(result).spec.externalIPs, [address])
        t.ok((await claimsOf(cluster, 'shop', 'mover')).includes(address), 'it is claimed at once')
        const alone = async () => isDeepStrictEqual(await claimsOf(cluster, 'shop', 'mover'), [address])
        t.ok(await until(alone), 'the former claim is collected')
      }
      await creates(t, virtualHost('mover'))
      await becomes('240.240.2.1', patches('merge', { spec: { externalIPs: ['240.240.2.1'] } }))
      await becomes('240.240.2.2', applies({ externalIPs: ['240.240.2.2'] }))
      await becomes('240.240.2.2', applies({}))
    })

    await t.test('what the API server refuses after it was given leaves a claim for a while', async (t) => {
      const { code, stderr } = await submit(
        cluster,
        ['create'],
        virtualHost('refused', { sessionAffinity: 'Sometimes' }),
      )
      t.equal(code, 1)
      t.match(stderr, 'sessionAffinity')
      t.equal((await claimsOf(cluster, 'shop', 'refused')).length, 1, 'at first')
      t.ok(await until(async () => (await claimsOf(cluster, 'shop', 'refused')).length === 0), 'it is collected')
    })

    await t.test('in the end the addresses that Services have are claimed for them, and no others', async (t) => {
      const services = (await getObject(cluster, ['services', '-n', 'shop'])) as { items: Printed[] }
      const held = services.items.flatMap(({ metadata: { name }, spec: { externalIPs = [] } }) =>
        externalIPs.map((address) => `${address} shop/${name}`),
      )
      t.ok(held.length > farewells.length)
      await sleep(4 * (grace + interval))
      t.strictSame(await claims(cluster), held.sort())
    })
  },
  async () => ({ collect: { grace, interval } }),
)
