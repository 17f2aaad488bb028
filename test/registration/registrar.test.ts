import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { makeServingCertificate, type ServingCertificate } from '../../src/certificates/self-made.ts'
import { readTLSSecret } from '../../src/certificates/tls-secret.ts'
import { ApiError } from '../../src/kubernetes/client.ts'
import { trustedByAll } from '../../src/registration/published.ts'
import type { RegistrarOptions, RegistrarTimes } from '../../src/registration/registrar.ts'
import { holdTimeouts, TestClock } from '../support/clock.ts'
import {
  brokenDown,
  conflict,
  FakeApiServer,
  type FakeReply,
  type FakeRequest,
  forbidden,
} from '../support/fake-api-server.ts'
import { inProcess, type Network } from '../support/in-process.ts'
import {
  certificatesOf,
  configurationPaths,
  deniedBy,
  hopsAt,
  provesUs,
  secretOf,
  secretPath,
  servicePath,
  startRegistrar,
} from '../support/registration.ts'
import { shells } from '../testbed/shells.ts'

const { MutatingWebhookConfiguration: mutating, ValidatingWebhookConfiguration: validating } = configurationPaths

const created: FakeReply = { status: 201, body: {} }

type Hop = { name: string; failurePolicy: string; clientConfig: { caBundle?: string; service: { name: string } } }

/** A cluster in which the chart was installed, and registrars whose time passes only as the test says. */
const setStage = (t: Test) => {
  const server = new FakeApiServer()
  server.put(...shells)
  const clock = new TestClock()
  const stage = {
    server,
    clock,
    /** What the API server answers where the way to us is tried. */
    answer: provesUs,
    /** Answers other requests, where it answers at all. */
    intercept: (_: FakeRequest): FakeReply | undefined => undefined,
    start: (options: { network?: Network } & Partial<RegistrarOptions> = {}) => {
      const started = startRegistrar(server, clock, options)
      t.teardown(() => started.stop())
      return started
    },
    /** A registrar that has done what there was to do. */
    settled: async (options: Partial<RegistrarOptions> = {}) => {
      const started = stage.start(options)
      await clock.pass(0)
      started.told.length = 0
      server.requests.length = 0
      return started
    },
    /** What is refused where we cannot be reached: nothing but our own probe, or what is to be. */
    get fails(): 'open' | 'closed' | 'otherwise' {
      const closed = hopsAt(server).flatMap(({ name, failurePolicy }) => (failurePolicy === 'Fail' ? [name] : []))
      const meant = ['virtual-hosts', 'virtual-hosts-by-revision', 'addresses', 'probe'].map((n) => `${n}.meshvip.dev`)
      if (closed.join() === 'probe.meshvip.dev') return 'open'
      return closed.join() === meant.join() ? 'closed' : 'otherwise'
    },
    /** How often the way to us was tried. */
    get proofs(): number {
      return server.log.filter((line) => line === `POST ${servicePath}`).length
    },
    get writes(): string[] {
      return server.log.filter((line) => !line.startsWith('GET '))
    },
    /** What became of what was written: changes whenever something is. */
    get versions(): unknown[] {
      return [mutating, validating, secretPath].map((path) => server.get(path)?.metadata.resourceVersion)
    },
    get ca(): string {
      return certificatesOf(server.get(secretPath)).ca.fingerprint256
    },
    /** The CAs that every hop trusts. */
    get bundle(): string[] {
      return trustedByAll(hopsAt(server)).map(({ fingerprint256 }) => fingerprint256)
    },
    /** Changes a configuration as somebody does by hand. */
    edit: (path: string, change: (hops: Hop[]) => Hop[]) => {
      const { webhooks, ...rest } = structuredClone(server.get(path)) as unknown as { webhooks: Hop[] }
      server.put({ ...rest, webhooks: change(webhooks) } as unknown as Parameters<FakeApiServer['put']>[0])
    },
    make: (names: string[], date = clock.date(), lifetime?: number): Promise<ServingCertificate> =>
      makeServingCertificate(names, date, lifetime),
  }
  server.intercept = (request) => stage.intercept(request) ?? (request.path === servicePath ? stage.answer : undefined)
  return stage
}

t.test('a first install makes a certificate, and fails open until the API server reaches us', async (t) => {
  const stage = setStage(t)
  stage.answer = created
  const registrar = stage.start()
  await stage.clock.pass(0)
  t.strictSame(stage.server.log, [
    `GET ${mutating}`,
    `GET ${validating}`,
    `GET ${secretPath}`,
    `POST ${secretPath.slice(0, secretPath.lastIndexOf('/'))}`,
    `PATCH ${mutating}`,
    `PATCH ${validating}`,
    `POST ${servicePath}`,
  ])
  t.equal(stage.server.requests.at(-1)?.query.get('dryRun'), 'All', 'no Service is made')
  t.strictSame([registrar.told, registrar.failOpen], [['issued: there is none', 'written: open'], true])
  t.strictSame(registrar.errors, [
    'everything fails open until the API server reaches us: the API server does not ask us yet',
  ])
  t.equal(
    readTLSSecret(stage.server.get(secretPath), 'webhook.meshvip.svc').leaf.checkHost('webhook.meshvip.svc'),
    'webhook.meshvip.svc',
  )
  t.strictSame([stage.fails, stage.bundle], ['open', [stage.ca]])
  t.ok(hopsAt(stage.server).length > 10, 'it is registered')
  await stage.clock.pass(5_000)
  t.strictSame([stage.fails, stage.proofs, registrar.errors.length], ['open', 3, 1], 'it is tried every two seconds')

  stage.answer = provesUs
  await stage.clock.pass(1_000)
  t.strictSame([stage.fails, registrar.told.at(-1), registrar.failOpen], ['closed', 'written: closed', false])
  const { versions, proofs } = stage
  await stage.clock.pass(60_000)
  t.strictSame([stage.versions, stage.proofs], [versions, proofs], 'and then nothing is changed or tried any more')
})

t.test('the way to us is not proved', async (t) => {
  const table: [what: string, answer: FakeReply, why: RegExp][] = [
    ['where the API server does not ask us', created, /: the API server does not ask us yet$/],
    [
      'where another webhook refuses first',
      deniedBy('labels.example.org', 'label your Services'),
      /: .* "labels.example.org" denied the request: label your Services$/,
    ],
    [
      'where we are not found',
      { status: 500, body: { message: 'failed calling webhook "probe.meshvip.dev": connection refused' } },
      /: .* connection refused$/,
    ],
    ['where we may not make Services', forbidden, /: POST .* 403$/],
    ['while the API server is out of order', brokenDown, /: POST .* 500$/],
  ]
  for (const [what, answer, why] of table) {
    await t.test(what, async (t) => {
      const stage = setStage(t)
      stage.answer = answer
      const registrar = stage.start()
      await stage.clock.pass(60_000)
      t.strictSame([stage.fails, registrar.failOpen], ['open', true])
      t.match(registrar.errors, [/^everything fails open until the API server reaches us: /])
      t.match(registrar.errors, [why])
      t.equal(registrar.errors.length, 1, 'that is told once')
      stage.answer = provesUs
      await stage.clock.pass(2_000)
      t.equal(stage.fails, 'closed', 'it is tried again')
    })
  }

  await t.test('where asking fails by a defect, which is told as it is', async (t) => {
    const stage = setStage(t)
    const client = inProcess(stage.server)
    const create: typeof client.create = async (kind, ...rest) => {
      if (kind === 'Service') throw new TypeError('a defect')
      return client.create(kind, ...rest)
    }
    const registrar = stage.start({ client: { ...client, create } })
    await stage.clock.pass(0)
    t.strictSame([stage.fails, registrar.errors], ['open', ['a defect']])
  })
})

t.test('a way is not proved by an API server that asks by the one before', async (t) => {
  const stage = setStage(t)
  await (await stage.settled()).stop()
  const probe = () => {
    const { webhooks } = stage.server.get(validating) as unknown as { webhooks: (Hop & Record<string, unknown>)[] }
    return webhooks.find(({ name }) => name === 'probe.meshvip.dev')
  }
  /** What the API server has heard of. */
  let heeded = probe()
  stage.intercept = ({ path, body }) => {
    if (path !== servicePath) return undefined
    const { labels } = (body as { metadata: { labels: object } }).metadata
    return isDeepStrictEqual(heeded?.objectSelector, { matchLabels: labels }) ? provesUs : created
  }
  const next = stage.start({
    registration: { endpoint: { url: 'https://webhook.meshvip.svc' }, ownNamespace: 'meshvip' },
  })
  await stage.clock.pass(10_000)
  t.strictSame([stage.fails, next.errors.length], ['open', 1])
  heeded = probe()
  await stage.clock.pass(2_000)
  t.equal(stage.fails, 'closed')
})

t.test('what was proved is not proved again', async (t) => {
  await t.test('by the next leader', async (t) => {
    const stage = setStage(t)
    await (await stage.settled()).stop()
    const { versions } = stage
    const next = await stage.settled()
    await stage.clock.pass(60_000)
    t.strictSame([stage.fails, stage.proofs, stage.versions], ['closed', 0, versions])
    t.strictSame([next.told, next.errors, next.failOpen], [[], [], false])
  })

  await t.test('where an upgrade of the chart gave the objects other labels', async (t) => {
    const stage = setStage(t)
    const registrar = await stage.settled()
    for (const path of [mutating, validating]) {
      const present = stage.server.get(path) as Parameters<FakeApiServer['put']>[0]
      stage.server.put({ ...present, metadata: { ...present.metadata, labels: { 'helm.sh/chart': 'meshvip-2' } } })
    }
    await stage.clock.pass(60_000)
    t.strictSame([stage.fails, stage.proofs, registrar.told, registrar.errors], ['closed', 0, [], []])
    t.match(stage.server.get(mutating)?.metadata, { labels: { 'helm.sh/chart': 'meshvip-2' } })
  })

  await t.test('where only what is asked is another: it is written, and goes on to fail closed', async (t) => {
    const stage = setStage(t)
    await (await stage.settled()).stop()
    const next = await stage.settled({ clusterDomain: 'example.org' })
    t.strictSame([stage.fails, stage.proofs], ['closed', 0])
    t.match(JSON.stringify(stage.server.get(validating)), '.svc.example.org')
    t.strictSame([next.errors, next.failOpen], [[], false])
  })
})

t.test('everything fails open, until the way to us is proved anew', async (t) => {
  const table: [what: string, damage: (stage: ReturnType<typeof setStage>) => Partial<RegistrarOptions> | undefined][] =
    [
      [
        'where it leads elsewhere from now on',
        () => ({ registration: { endpoint: { url: 'https://webhook.meshvip.svc' }, ownNamespace: 'meshvip' } }),
      ],
      ...[mutating, validating].flatMap((path): typeof table => {
        const kind = path === mutating ? 'mutating' : 'validating'
        const damaged = (caBundle?: string) => (hops: Hop[]) =>
          hops.map(({ clientConfig: { caBundle: _, ...rest }, ...hop }, index) => ({
            ...hop,
            clientConfig: { ...rest, caBundle: index === 1 ? caBundle : _ },
          })) as Hop[]
        return [
          [`where a ${kind} hop lost its caBundle`, ({ edit }) => void edit(path, damaged())],
          [`where a ${kind} hop has another's`, ({ edit }) => void edit(path, damaged('bm8gUEVN'))],
          [`where a ${kind} hop is missing`, ({ edit }) => void edit(path, (hops) => hops.slice(1))],
          [
            `where a ${kind} hop leads elsewhere`,
            ({ edit }) =>
              void edit(path, (hops) =>
                hops.map((hop) => ({ ...hop, clientConfig: { ...hop.clientConfig, service: { name: 'other' } } })),
              ),
          ],
          [
            `where the ${kind} configuration was made anew`,
            ({ server }) => {
              server.delete(path)
              server.put(...shells.filter(({ kind }) => configurationPaths[kind] === path))
              return undefined
            },
          ],
        ]
      }),
      [
        'where a hop was made to fail open by hand',
        ({ edit }) =>
          void edit(validating, ([first, ...rest]) => [{ ...(first as Hop), failurePolicy: 'Ignore' }, ...rest]),
      ],
      [
        'where a hop was made to fail closed by hand',
        ({ edit }) =>
          void edit(mutating, ([first, ...rest]) => [{ ...(first as Hop), failurePolicy: 'Fail' }, ...rest]),
      ],
    ]
  for (const [what, damage] of table) {
    await t.test(what, async (t) => {
      const stage = setStage(t)
      await (await stage.settled()).stop()
      const generation = () => [mutating, validating].map((path) => stage.server.get(path)?.metadata.generation)
      const registrar = stage.start(damage(stage))
      const before = generation()
      stage.answer = created
      await stage.clock.pass(0)
      t.strictSame([stage.fails, registrar.told, registrar.failOpen], ['open', ['written: open'], true])
      t.notSame(generation(), before)
      stage.answer = provesUs
      await stage.clock.pass(2_000)
      t.strictSame([stage.fails, stage.bundle, registrar.failOpen], ['closed', [stage.ca], false])
      t.strictSame(registrar.told, ['written: open', 'written: closed'])
    })
  }
})

t.test('a leader that finds everything open says so, though it wrote nothing, nor can', async (t) => {
  const stage = setStage(t)
  stage.answer = created
  await (await stage.settled()).stop()
  const next = await stage.settled()
  t.strictSame([stage.fails, next.told, next.failOpen], ['open', [], true])
  await next.stop()
  stage.intercept = ({ method }) => (method === 'PATCH' ? forbidden : undefined)
  t.equal((await stage.settled()).failOpen, true)
})

t.test('whether what is to fail closed does is said, whatever keeps it from it', async (t) => {
  const stage = setStage(t)
  const external = { issueFor: undefined }
  const registrar = stage.start(external)
  await stage.clock.pass(0)
  t.strictSame([stage.writes, registrar.failOpen], [[], true], 'there is no Secret, and so nothing is registered')
  stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
  await stage.clock.pass(2_000)
  t.strictSame([stage.fails, registrar.failOpen], ['closed', false])

  stage.server.delete(secretPath)
  await stage.clock.pass(10_000)
  t.strictSame([stage.fails, registrar.failOpen], ['closed', false], 'that the Secret is gone opens nothing')
  stage.edit(validating, (hops) => hops.map((hop) => ({ ...hop, failurePolicy: 'Ignore' })))
  await stage.clock.pass(2_000)
  t.equal(registrar.failOpen, true, 'nor can what somebody opened be closed')

  stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
  await stage.clock.pass(2_000)
  t.equal(registrar.failOpen, false)
  stage.server.delete(validating)
  await stage.clock.pass(10_000)
  t.equal(registrar.failOpen, true, 'nothing is asked any more')
})

t.test('a configuration that is missing', async (t) => {
  await t.test('is not made, and where both are, neither is a Secret', async (t) => {
    const stage = setStage(t)
    for (const path of [mutating, validating]) stage.server.delete(path)
    const registrar = stage.start()
    await stage.clock.pass(60_000)
    t.strictSame([stage.writes, registrar.told, registrar.failOpen], [[], [], true])
    t.strictSame(registrar.errors, [
      'there is no MutatingWebhookConfiguration and no ValidatingWebhookConfiguration meshvip: helm upgrade makes it again',
    ])
    stage.server.put(...shells)
    await stage.clock.pass(2_000)
    t.equal(stage.fails, 'closed', 'when the chart makes them again, they are filled')
  })

  await t.test('does not keep the other from being looked after: its certificate would expire', async (t) => {
    const stage = setStage(t)
    const registrar = await stage.settled()
    stage.server.delete(mutating)
    stage.server.delete(secretPath)
    stage.edit(validating, ([first, ...rest]) => [{ ...(first as Hop), failurePolicy: 'Ignore' }, ...rest])
    await stage.clock.pass(60_000)
    t.strictSame([stage.fails, stage.bundle[0], stage.bundle.length], ['closed', stage.ca, 2])
    t.equal(stage.server.get(mutating), undefined)
    t.strictSame(registrar.errors, ['there is no MutatingWebhookConfiguration meshvip: helm upgrade makes it again'])
  })
})

t.test('a new certificate is made, and its CA published beside the old one', async (t) => {
  const { ca, cert, key } = await makeServingCertificate(['webhook.meshvip.svc'], new TestClock().date())
  const other = await makeServingCertificate(['webhook.meshvip.svc'], new TestClock().date())
  const foreign = await makeServingCertificate(['other.meshvip.svc'], new TestClock().date())
  const later = await makeServingCertificate(['webhook.meshvip.svc'], new Date(Date.UTC(2026, 0, 2)))
  const table: [what: string, secret: object | undefined, why: string][] = [
    ['where the Secret was deleted', undefined, 'there is none'],
    ['where it is empty', { ...secretOf(other), data: undefined }, 'ca.crt has no certificate in PEM'],
    ['where its CA is none', secretOf({ ca: key, cert, key }), 'ca.crt has no certificate in PEM'],
    [
      'where its CA is damaged',
      secretOf({ ca: ca.replace(/^M/m, 'AAAA'), cert, key }),
      'ca.crt has no certificate in PEM',
    ],
    ['where its certificate is none', secretOf({ ca, cert: 'x', key }), 'tls.crt has no certificate in PEM'],
    ['where its key is none', secretOf({ ca, cert, key: 'x' }), 'tls.key has no private key in PEM'],
    ["where its key is another's", secretOf({ ca, cert, key: other.key }), 'tls.key is not the key of tls.crt'],
    ['where it is for another name', secretOf(foreign), 'tls.crt is not for webhook.meshvip.svc'],
    ['where another CA signed it', secretOf({ ca: other.ca, cert, key }), 'nothing in ca.crt signed tls.crt'],
    ['where it is not valid yet', secretOf(later), 'it is not valid yet'],
  ]
  for (const [what, secret, why] of table) {
    await t.test(what, async (t) => {
      const stage = setStage(t)
      const registrar = await stage.settled()
      const old = stage.ca
      if (secret === undefined) stage.server.delete(secretPath)
      else stage.server.put(secret as Parameters<FakeApiServer['put']>[0])
      await stage.clock.pass(10_000)
      t.strictSame(registrar.told, [`issued: ${why}`, 'written: closed'])
      t.strictSame([stage.bundle, stage.fails, stage.proofs], [[stage.ca, old], 'closed', 0])
      t.doesNotThrow(() => readTLSSecret(stage.server.get(secretPath), 'webhook.meshvip.svc'))
      t.strictSame(registrar.errors, [])
    })
  }

  await t.test('where two thirds of its life are over', async (t) => {
    const stage = setStage(t)
    const registrar = await stage.settled({ times: { lifetime: 300_000 } })
    await stage.clock.pass(199_999)
    t.strictSame(registrar.told, [])
    await stage.clock.pass(1)
    t.strictSame(registrar.told, ['issued: two thirds of its life are over', 'written: closed'])
  })

  await t.test('for an address, too', async (t) => {
    const stage = setStage(t)
    const at = (address: string, url: string) =>
      stage.settled({ issueFor: [address], registration: { endpoint: { url }, ownNamespace: 'meshvip' } })
    await (await at('::1', 'https://[::1]:8443')).stop()
    await (await at('::1', 'https://[::1]:8443')).stop()
    t.strictSame(
      stage.writes.filter((line) => line.includes('/secrets')),
      [],
    )
    const next = await at('127.0.0.1', 'https://127.0.0.1:8443')
    t.equal(next.errors.length, 0)
    t.equal(readTLSSecret(stage.server.get(secretPath), '127.0.0.1').leaf.checkIP('127.0.0.1'), '127.0.0.1')
  })

  await t.test('into a Secret of another type, whose other keys stay', async (t) => {
    const stage = setStage(t)
    const secret = secretOf(foreign, { type: 'kubernetes.io/tls' })
    stage.server.put({ ...secret, data: { ...secret.data, 'keystore.jks': 'eA==' } })
    await stage.settled()
    t.match(stage.server.get(secretPath), { type: 'kubernetes.io/tls', data: { 'keystore.jks': 'eA==' } })
  })
})

t.test('the CA before', async (t) => {
  const times: Partial<RegistrarTimes> = { overlap: 100_000 }
  const rotated = async (t: Test, options: Partial<RegistrarOptions> = {}) => {
    const stage = setStage(t)
    const registrar = await stage.settled({ times, ...options })
    const old = stage.ca
    stage.server.delete(secretPath)
    await stage.clock.pass(10_000)
    return { stage, registrar, old }
  }

  await t.test('stays for the overlap, and no longer', async (t) => {
    const { stage, old } = await rotated(t)
    await stage.clock.pass(99_999)
    t.strictSame(stage.bundle, [stage.ca, old])
    await stage.clock.pass(1)
    t.strictSame([stage.bundle, stage.fails, stage.proofs], [[stage.ca], 'closed', 0])
  })

  await t.test('goes at the next look where it could not be written that it does', async (t) => {
    const { stage, registrar } = await rotated(t)
    await stage.clock.pass(99_999)
    stage.intercept = ({ method }) => (method === 'PATCH' ? forbidden : undefined)
    await stage.clock.pass(1)
    t.match(registrar.errors, [/^PATCH .* 403$/])
    stage.intercept = () => undefined
    await stage.clock.pass(2_000)
    t.strictSame(stage.bundle, [stage.ca])
  })

  await t.test('stays for the whole overlap of the next leader, who does not know how long it was so', async (t) => {
    const { stage, registrar, old } = await rotated(t)
    await stage.clock.pass(90_000)
    await registrar.stop()
    stage.start({ times })
    await stage.clock.pass(99_999)
    t.strictSame(stage.bundle, [stage.ca, old])
    await stage.clock.pass(1)
    t.strictSame(stage.bundle, [stage.ca])
  })

  await t.test('does not stay beyond its own life', async (t) => {
    const { stage, old } = await rotated(t, { times: { ...times, lifetime: 75_000 } })
    await stage.clock.pass(59_999)
    t.ok(stage.bundle.includes(old))
    await stage.clock.pass(10_001)
    t.notOk(stage.bundle.includes(old), 'nobody serves with what it signed')
  })

  await t.test('is where others before it are, once each', async (t) => {
    const { stage, old } = await rotated(t)
    const second = stage.ca
    stage.server.delete(secretPath)
    await stage.clock.pass(10_000)
    t.strictSame(stage.bundle, [stage.ca, second, old])
    await stage.clock.pass(90_000)
    t.strictSame(stage.bundle, [stage.ca, second])
  })
})

t.test("a certificate that is somebody else's to make", async (t) => {
  const external = { issueFor: undefined, times: { overlap: 100_000 } }

  await t.test('is published, the CAs before it for a while, however short it still lives', async (t) => {
    const stage = setStage(t)
    stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'], stage.clock.date(), 1_000)))
    const registrar = await stage.settled(external)
    const old = stage.ca
    t.strictSame([stage.bundle, stage.fails], [[old], 'closed'])
    stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
    await stage.clock.pass(0)
    t.strictSame(stage.bundle, [old], 'at the next look')
    await stage.clock.pass(10_000)
    t.strictSame([stage.bundle, stage.proofs, registrar.told], [[stage.ca], 1, ['written: open', 'written: closed']])
  })

  await t.test('is renewed by its CA, or by another one, without being proved anew', async (t) => {
    const stage = setStage(t)
    stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
    const registrar = await stage.settled(external)
    const old = stage.ca
    stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
    await stage.clock.pass(10_000)
    t.strictSame([stage.bundle, stage.fails], [[stage.ca, old], 'closed'])
    await stage.clock.pass(100_000)
    t.strictSame([stage.bundle, stage.proofs, registrar.errors], [[stage.ca], 0, []])
  })

  await t.test('is published, and the CA before it stays, for as long as no replica may serve it', async (t) => {
    for (const [from, lifetime] of [
      [-3_600_000, 60_000],
      [3_600_000, 60_000],
    ] as const) {
      const stage = setStage(t)
      stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
      const registrar = await stage.settled(external)
      const old = stage.ca
      const date = new Date(stage.clock.date().getTime() + from)
      stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'], date, lifetime)))
      await stage.clock.pass(1_000_000)
      t.strictSame([stage.bundle, stage.fails, registrar.errors], [[stage.ca, old], 'closed', []])
      stage.server.put(secretOf(await stage.make(['webhook.meshvip.svc'])))
      await stage.clock.pass(200_000)
      t.strictSame([stage.bundle, stage.proofs], [[stage.ca], 0], 'and goes after that')
    }
  })

  await t.test('takes the place of what is published only where an API server would trust us by it', async (t) => {
    const [made, other] = await Promise.all([
      makeServingCertificate(['webhook.meshvip.svc'], new TestClock().date()),
      makeServingCertificate(['webhook.meshvip.svc'], new TestClock().date()),
    ])
    const table: [what: string, secret: ServingCertificate, why: string][] = [
      ['not where its CA came before it', { ...made, ca: other.ca }, 'nothing in ca.crt signed tls.crt'],
      ['nor where it came before its CA', { ...other, ca: made.ca }, 'nothing in ca.crt signed tls.crt'],
      [
        'nor where it is for another name',
        await makeServingCertificate(['other.example.org'], new TestClock().date()),
        'tls.crt is not for webhook.meshvip.svc',
      ],
    ]
    for (const [what, secret, why] of table) {
      await t.test(what, async (t) => {
        const stage = setStage(t)
        stage.server.put(secretOf(made))
        const registrar = await stage.settled(external)
        const { bundle } = stage
        stage.server.put(secretOf(secret))
        await stage.clock.pass(1_000_000)
        t.strictSame(registrar.errors, [`the Secret with the serving certificate cannot be used: ${why}`])
        t.strictSame([stage.bundle, stage.fails], [bundle, 'closed'])
        stage.server.put(secretOf(other))
        await stage.clock.pass(10_000)
        t.strictSame([stage.bundle, stage.proofs], [[stage.ca, ...bundle], 0])
      })
    }
  })

  await t.test('is never written: that it is missing or damaged is told', async (t) => {
    const stage = setStage(t)
    const registrar = stage.start(external)
    await stage.clock.pass(60_000)
    const made = await stage.make(['webhook.meshvip.svc'])
    stage.server.put(secretOf({ ...made, key: '' }))
    await stage.clock.pass(60_000)
    t.strictSame(registrar.errors, [
      'the Secret with the serving certificate cannot be used: there is none',
      'the Secret with the serving certificate cannot be used: tls.key has no private key in PEM',
    ])
    t.strictSame(stage.writes, [])
    stage.server.put(secretOf(made))
    await stage.clock.pass(2_000)
    t.equal(stage.fails, 'closed')
  })
})

t.test('what keeps it from its work is told', async (t) => {
  await t.test('once while it stays the same, whatever numbers are in it', async (t) => {
    const stage = setStage(t)
    let port = 40_000
    stage.intercept = ({ path }) =>
      path === servicePath
        ? { status: 500, body: { message: `read tcp 10.0.0.1:${port++}->10.0.0.2:443: connection reset by peer` } }
        : undefined
    const registrar = stage.start()
    await stage.clock.pass(60_000)
    t.equal(registrar.errors.length, 1)
    t.equal(stage.proofs, 31)
  })

  await t.test('once where none of the configurations may be read, whichever is answered first', async (t) => {
    const stage = setStage(t)
    let asked = 0
    stage.server.intercept = async ({ path }) => {
      if (path === mutating && asked++ % 2 === 0) await setImmediate()
      return forbidden
    }
    const registrar = stage.start()
    await stage.clock.pass(60_000)
    t.strictSame(registrar.errors, [`GET ${mutating}: 403`])
  })

  await t.test('again when it is another, and when it had passed', async (t) => {
    const stage = setStage(t)
    const replies: (FakeReply | undefined)[] = [brokenDown, brokenDown, { status: 401, body: { message: 'who?' } }]
    stage.intercept = ({ path, method }) => (path === mutating && method === 'GET' ? replies.shift() : undefined)
    const registrar = stage.start()
    await stage.clock.pass(6_000)
    t.equal(stage.fails, 'closed')
    replies.push(brokenDown)
    await stage.clock.pass(10_000)
    t.strictSame(registrar.errors, [`GET ${mutating}: 500`, `GET ${mutating}: 401 who?`, `GET ${mutating}: 500`])
  })

  await t.test('as long as the configurations may not be written, which is tried again', async (t) => {
    const stage = setStage(t)
    stage.intercept = ({ method }) => (method === 'PATCH' ? forbidden : undefined)
    const registrar = stage.start()
    await stage.clock.pass(60_000)
    t.strictSame(registrar.told, ['issued: there is none'], 'one certificate is made')
    t.strictSame(registrar.errors, [`PATCH ${mutating}: 403`])
    t.equal(registrar.failOpen, true)
    stage.intercept = () => undefined
    await stage.clock.pass(2_000)
    t.equal(stage.fails, 'closed')
  })
})

t.test('where another was faster, that is seen at the next look, and is no error', async (t) => {
  const meanwhile = (change: (stage: ReturnType<typeof setStage>) => void, what: string) => async (t: Test) => {
    const stage = setStage(t)
    stage.intercept = ({ method, path }) => {
      if (`${method} ${path}` === what) {
        stage.intercept = () => undefined
        change(stage)
      }
      return undefined
    }
    const registrar = stage.start()
    await stage.clock.pass(0)
    t.equal(stage.fails, 'otherwise')
    await stage.clock.pass(2_000)
    t.strictSame([stage.fails, stage.bundle, registrar.errors], ['closed', [stage.ca], []])
    return stage
  }
  const other = secretOf(await makeServingCertificate(['webhook.meshvip.svc'], new TestClock().date()))

  await t.test('to make the Secret', async (t) => {
    const made = meanwhile(
      ({ server }) => server.put(other),
      `POST ${secretPath.slice(0, secretPath.lastIndexOf('/'))}`,
    )
    const stage = await made(t)
    t.strictSame(stage.server.get(secretPath)?.data, other.data)
  })

  await t.test('to renew what is in it', async (t) => {
    const stage = setStage(t)
    stage.server.put(secretOf(await stage.make(['other'])))
    stage.intercept = ({ method, path }) => {
      if (method === 'PATCH' && path === secretPath) stage.server.put(other)
      return undefined
    }
    const registrar = stage.start()
    await stage.clock.pass(2_000)
    t.strictSame([stage.server.get(secretPath)?.data, stage.fails, registrar.errors], [other.data, 'closed', []])
  })

  await t.test('to change a configuration: what it published is not taken back', async (t) => {
    const touch = ({ server }: ReturnType<typeof setStage>) =>
      server.put({ ...shells[0], metadata: { name: 'meshvip', labels: { by: 'another' } } } as never)
    await meanwhile(touch, `PATCH ${mutating}`)(t)
  })

  await t.test('to make a configuration anew', async (t) => {
    const remake = ({ server }: ReturnType<typeof setStage>) => {
      server.delete(mutating)
      server.put(...shells)
    }
    await meanwhile(remake, `PATCH ${mutating}`)(t)
  })

  await t.test('again and again', async (t) => {
    const stage = setStage(t)
    stage.intercept = ({ method }) => (method === 'PATCH' ? conflict : undefined)
    const registrar = stage.start()
    await stage.clock.pass(60_000)
    t.strictSame([stage.fails, registrar.errors], ['otherwise', []])
  })
})

t.test('an end', async (t) => {
  await t.test('while it waits is at once', async (t) => {
    const stage = setStage(t)
    const registrar = await stage.settled()
    await registrar.stop()
    await stage.clock.pass(60_000)
    t.strictSame(stage.server.log, [])
  })

  await t.test('cuts what is under way short, and nothing is told of it', async (t) => {
    for (const failing of ['GET', 'POST', 'PATCH']) {
      const stage = setStage(t)
      const network: Network = (request, signal) => {
        const answer = request()
        return new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(new ApiError(0, 'cut')))
          if (stage.server.requests.at(-1)?.method !== failing) answer.then(resolve, reject)
        })
      }
      const registrar = stage.start({ network })
      await stage.clock.pass(60_000)
      const count = stage.server.log.length
      await registrar.stop()
      await stage.clock.pass(60_000)
      t.strictSame([registrar.errors, stage.server.log.length], [[], count], failing)
    }
  })
})

t.test('an API server that does not answer is asked again', async (t) => {
  const pass = holdTimeouts(t)
  const stage = setStage(t)
  let isSilent = true
  const network: Network = (request, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new ApiError(0, 'it does not answer')))
      if (!isSilent) request().then(resolve, reject)
    })
  const registrar = stage.start({ network })
  await stage.clock.pass(60_000)
  t.strictSame(registrar.errors, [])
  isSilent = false
  pass()
  await stage.clock.pass(2_000)
  t.strictSame([registrar.errors, stage.fails], [['it does not answer'], 'closed'])
})
