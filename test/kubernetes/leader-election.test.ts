import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/kubernetes/client.ts'
import { type ElectionTimes, LeaderElection, type LeaderElectionOptions } from '../../src/kubernetes/leader-election.ts'
import { skewed, TestClock } from '../support/clock.ts'
import {
  alreadyExists,
  brokenDown,
  conflict,
  FakeApiServer,
  type FakeReply,
  forbidden,
  notFound,
  startFakeApiServer,
} from '../support/fake-api-server.ts'
import { inProcess, type Network } from '../support/in-process.ts'
import { thrown } from '../support/thrown.ts'

const name = { namespace: 'meshvip', name: 'janitor' }
const path = '/apis/coordination.k8s.io/v1/namespaces/meshvip/leases/janitor'

const leaseOf = (spec: unknown) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: name, spec })

/** A Lease that another holds. */
const held = (spec: object = {}) => leaseOf({ holderIdentity: 'other', leaseDurationSeconds: 15, ...spec })

const never = new AbortController().signal

type Lead = (signal: AbortSignal) => Promise<void>

const untilAborted: Lead = (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve()))

/** Who holds the Lease, without what is random. */
const holderIn = (identity: unknown) =>
  identity === undefined ? undefined : String(identity).replace(/_[0-9a-f]{8}$/, '')

/** A candidate that notes what becomes of it. */
const candidate = (options: Omit<LeaderElectionOptions, 'onError' | 'onChange' | 'lease'>, lead = untilAborted) => {
  const [holders, errors]: [(string | undefined)[], string[]] = [[], []]
  const stopping = new AbortController()
  const election = new LeaderElection({
    ...options,
    lease: name,
    onChange: (holder) => holders.push(holderIn(holder)),
    onError: (error) => errors.push((error as Error).message),
  })
  const running = election.run(async (signal) => {
    notes.terms++
    notes.leads = true
    signal.addEventListener('abort', () => {
      notes.leads = false
    })
    await lead(signal)
    notes.leads = false
  }, stopping.signal)
  const notes = {
    election,
    holders,
    errors,
    /** How often `lead` was called. */
    terms: 0,
    /** Whether `lead` runs, and has not been asked to end. */
    leads: false,
    hasEnded: false,
    stop: () => stopping.abort(),
    ended: running.then(() => {
      notes.hasEnded = true
    }),
  }
  return notes
}

/** An API server and candidates whose time passes only as the test says. Attempts are made as soon as they may be. */
const setStage = (t: Test) => {
  t.intercept(Math, 'random', { value: () => 0, configurable: true, writable: true })
  const server = new FakeApiServer()
  const clock = new TestClock()
  const start = (
    identity: string,
    { lead, network, ...options }: { lead?: Lead; network?: Network } & Partial<LeaderElectionOptions> = {},
  ) => {
    const started = candidate({ client: inProcess(server, network), clock, identity, ...options }, lead)
    t.teardown(async () => {
      started.stop()
      await clock.pass(60_000)
      await started.ended
    })
    return started
  }
  /** The spec of the Lease. */
  const spec = (): Record<string, unknown> | undefined => {
    const present = server.get(path)?.spec as Record<string, unknown> | undefined
    return present === undefined ? undefined : { ...present, holderIdentity: holderIn(present.holderIdentity) }
  }
  const holder = () => spec()?.holderIdentity
  return { server, clock, start, spec, holder }
}

t.test('a Lease that nobody made yet is made, and renewed', async (t) => {
  const { server, clock, start, spec } = setStage(t)
  const a = start('a')
  await clock.pass(0)
  t.strictSame([a.leads, a.election.isLeader, a.holders], [true, true, ['a']])
  const made = {
    holderIdentity: 'a',
    leaseDurationSeconds: 15,
    acquireTime: '2026-01-01T00:00:00.000000Z',
    leaseTransitions: 0,
    renewTime: '2026-01-01T00:00:00.000000Z',
  }
  t.strictSame(spec(), made)
  await clock.pass(1_999)
  t.strictSame(server.log, [`GET ${path}`, `POST ${path.slice(0, path.lastIndexOf('/'))}`])
  await clock.pass(1)
  t.strictSame(spec(), { ...made, renewTime: '2026-01-01T00:00:02.000000Z' })
  await clock.pass(60_000)
  t.strictSame(spec(), { ...made, renewTime: '2026-01-01T00:01:02.000000Z' })
  t.strictSame([a.terms, a.holders, a.errors], [1, ['a'], []])
})

t.test('a Lease without holder is taken at once', async (t) => {
  for (const spec of [undefined, {}, { holderIdentity: null }, { holderIdentity: '', leaseDurationSeconds: 1000 }]) {
    const { server, clock, start, holder } = setStage(t)
    server.put(leaseOf(spec))
    const a = start('a')
    await clock.pass(0)
    t.strictSame([a.leads, holder()], [true, 'a'], JSON.stringify(spec))
  }
})

t.test('a Lease is taken when its holder has given no sign of life for as long as it says', async (t) => {
  const table: [what: string, spec: object, after: number, transitions: number][] = [
    ['and as it says', { leaseDurationSeconds: 40, leaseTransitions: 7 }, 40_000, 8],
    ['even where its renewTime is long ago', { renewTime: '2001-01-01T00:00:00.000000Z' }, 15_000, 1],
    ['even where its renewTime is to come', { renewTime: '2050-01-01T00:00:00.000000Z' }, 15_000, 1],
    ['for as long as ours where it does not say', { leaseDurationSeconds: null }, 15_000, 1],
    ['and what cannot be read counts as absent', { leaseDurationSeconds: 'x', leaseTransitions: -1 }, 15_000, 1],
    ['not even its holder', { holderIdentity: 5, acquireTime: {}, leaseTransitions: 1.5 }, 15_000, 1],
  ]
  for (const [what, spec, after, transitions] of table) {
    await t.test(what, async (t) => {
      const { server, clock, start, holder, spec: present } = setStage(t)
      server.put(held(spec))
      const first = holder()
      const a = start('a', { times: { retryPeriod: 1_000 } })
      await clock.pass(after - 1)
      t.strictSame([a.leads, a.terms], [false, 0], 'not before')
      await clock.pass(1)
      t.strictSame([a.leads, holder(), present()?.leaseTransitions], [true, 'a', transitions])
      t.strictSame([a.holders, a.errors], [[first, 'a'], []])
    })
  }
})

t.test('a holder that renews keeps the Lease', async (t) => {
  const { server, clock, start } = setStage(t)
  const a = start('a')
  for (let renewal = 0; renewal < 10; renewal++) {
    server.put(held({ renewTime: String(renewal) }))
    await clock.pass(14_000)
  }
  t.equal(a.terms, 0)
})

t.test('a holder of our name that is not us is another', async (t) => {
  const { clock, start } = setStage(t)
  const [a, twin] = [start('a'), start('a')]
  await clock.pass(60_000)
  t.strictSame([a.leads, twin.leads, a.terms + twin.terms], [true, false, 1])
})

t.test('a Lease that was deleted is made anew when whoever held it must have stopped', async (t) => {
  const table: [what: string, before: object, after: number][] = [
    ['be it known', held(), 15_000],
    ['for as long as it said', held({ leaseDurationSeconds: 40 }), 40_000],
    ['or has it come and gone since we looked', leaseOf({ holderIdentity: '', leaseDurationSeconds: 1 }), 15_000],
  ]
  for (const [what, before, after] of table) {
    await t.test(what, async (t) => {
      const { server, clock, start } = setStage(t)
      server.put(before as ReturnType<typeof leaseOf>)
      // It cannot take what it only sees.
      server.intercept = ({ method }) => (method === 'PATCH' ? conflict : undefined)
      const a = start('a', { times: { retryPeriod: 1_000 } })
      await clock.pass(3_500)
      server.delete(path)
      await clock.pass(499 + after)
      t.strictSame([a.terms, a.holders.at(-1)], [0, undefined])
      await clock.pass(1)
      t.ok(a.leads)
    })
  }
})

t.test('a Lease that is deleted twice counts from the second time', async (t) => {
  const { server, clock, start } = setStage(t)
  server.put(held())
  const a = start('a')
  for (let time = 0; time < 10; time++) {
    await clock.pass(8_000)
    server.delete(path)
    await clock.pass(8_000)
    server.put(held({ leaseTransitions: time }))
  }
  t.equal(a.terms, 0)
})

t.test('who loses the race for a Lease looks again, and complains of nothing', async (t) => {
  const races: [what: string, method: string, lost: FakeReply, before: object[]][] = [
    ['to make it', 'POST', alreadyExists, []],
    ['to take it', 'PATCH', conflict, [leaseOf({})]],
  ]
  for (const [what, method, lost, before] of races) {
    await t.test(what, async (t) => {
      const { server, clock, start, holder } = setStage(t)
      server.put(...(before as ReturnType<typeof leaseOf>[]))
      server.intercept = (request) => {
        if (request.method !== method) return undefined
        server.put(held())
        return lost
      }
      const a = start('a')
      await clock.pass(2_000)
      t.strictSame([a.terms, a.errors, a.holders, holder()], [0, [], ['other'], 'other'])
    })
  }
})

t.test('the leader stops at once', async (t) => {
  await t.test('when it finds another in the Lease', async (t) => {
    const { server, clock, start, holder } = setStage(t)
    const a = start('a')
    await clock.pass(1_000)
    server.put(held())
    await clock.pass(1_000)
    t.strictSame([a.leads, a.election.isLeader, a.errors, holder()], [false, false, [], 'other'])
    t.strictSame(a.holders, ['a', 'other'])
    await clock.pass(30_000)
    t.strictSame([a.leads, a.terms], [true, 2], 'and tries again')
  })

  await t.test('when somebody clears the Lease', async (t) => {
    const { server, clock, start } = setStage(t)
    const a = start('a')
    await clock.pass(1_000)
    server.put(leaseOf({ ...(server.get(path)?.spec as object), holderIdentity: '' }))
    await clock.pass(1_000)
    t.notOk(a.leads)
  })

  await t.test('when the Lease is gone, and makes it anew', async (t) => {
    const { server, clock, start, spec } = setStage(t)
    const a = start('a')
    await clock.pass(1_000)
    server.delete(path)
    await clock.pass(1_000)
    t.strictSame([a.leads, a.election.isLeader, spec()], [false, false, undefined])
    await clock.pass(16_000)
    t.strictSame([a.leads, a.terms, a.errors], [true, 2, []])
    t.match(spec(), { holderIdentity: 'a', leaseTransitions: 1 })
  })
})

t.test('the leader stops at the deadline, wherever its attempts fall', async (t) => {
  for (const retryPeriod of [300, 1_900, 2_000, 3_000, 4_500]) {
    const { clock, start } = setStage(t)
    const state = { fails: false }
    const network: Network = (request) => (state.fails ? Promise.reject(new ApiError(0, 'refused')) : request())
    const a = start('a', { network, times: { retryPeriod } })
    await clock.pass(0)
    state.fails = true
    await clock.pass(9_999)
    t.ok(a.leads, `every ${retryPeriod} ms`)
    await clock.pass(1)
    t.notOk(a.leads, `every ${retryPeriod} ms`)
  }
})

/** Failures that go on, by what a request meets. */
const failures: [what: string, network: Network][] = [
  ['refuses connections', () => Promise.reject(new ApiError(0, 'cannot be reached'))],
  ['answers nothing', (_request, signal) => untilAborted(signal).then(() => Promise.reject(new Error('aborted')))],
  ['answers nothing, and the client does not heed its signal', () => new Promise(() => {})],
  ['breaks down', () => Promise.reject(new ApiError(500, 'broken down'))],
]

for (const [what, failing] of failures) {
  t.test(`while the API server ${what}`, async (t) => {
    const setFailing = (t: Test) => {
      const stage = setStage(t)
      const state = { fails: false }
      const ideal: Network = (request) => request()
      const network: Network = (request, signal) => (state.fails ? failing : ideal)(request, signal)
      const a = stage.start('a', { network })
      return { ...stage, a, fail: (fails: boolean) => Object.assign(state, { fails }) }
    }

    await t.test('the leader leads until the deadline, and the next begins later', async (t) => {
      const { clock, start, a, fail, holder } = setFailing(t)
      await clock.pass(0)
      const b = start('b', { times: { retryPeriod: 100 } })
      await clock.pass(2_050)
      fail(true)
      await clock.pass(9_949)
      t.strictSame([a.leads, a.election.isLeader], [true, true])
      await clock.pass(1)
      t.strictSame([a.leads, a.election.isLeader, holder()], [false, false, 'a'])
      await clock.pass(4_999)
      t.notOk(b.leads)
      await clock.pass(200)
      t.strictSame([b.leads, a.leads, holder()], [true, false, 'b'])
      t.equal(a.errors.length, 1, 'it is told once')
      fail(false)
      await clock.pass(10_000)
      t.strictSame([b.leads, a.leads, a.holders], [true, false, ['a', 'b']])
    })

    await t.test('the leader leads on where that passes in time', async (t) => {
      const { clock, a, fail } = setFailing(t)
      for (let round = 0; round < 5; round++) {
        fail(false)
        await clock.pass(8_000)
        fail(true)
        await clock.pass(4_000)
      }
      t.strictSame([a.leads, a.terms], [true, 1])
    })

    await t.test('who leads no more leads again as soon as it may', async (t) => {
      const { clock, a, fail } = setFailing(t)
      await clock.pass(0)
      fail(true)
      await clock.pass(13_000)
      t.notOk(a.leads)
      fail(false)
      await clock.pass(7_000)
      t.strictSame([a.leads, a.terms], [true, 2], 'the Lease is still its own')
    })

    await t.test('an end takes half the deadline at most, and is no error', async (t) => {
      const { clock, a, fail } = setFailing(t)
      await clock.pass(1_000)
      fail(true)
      a.stop()
      await clock.pass(5_000)
      t.strictSame([a.hasEnded, a.errors], [true, []])
    })
  })
}

t.test('the deadline counts from when a renewal was sent, not from its answer', async (t) => {
  const { server, clock, start } = setStage(t)
  let fails = false
  const a = start('a', {
    network: async (request) => {
      if (fails) throw new ApiError(0, 'cannot be reached')
      const answer = await request()
      if (server.log.at(-1)?.startsWith('PATCH')) await clock.sleep(4_000, never)
      return answer
    },
  })
  await clock.pass(6_000)
  fails = true
  await clock.pass(5_999)
  t.ok(a.leads, 'sent after 2 s, answered after 6 s')
  await clock.pass(1)
  t.notOk(a.leads)
})

t.test('a timer that is late makes nobody a leader', async (t) => {
  const { clock, start } = setStage(t)
  const state = { fails: false }
  const a = start('a', {
    clock: skewed(clock, { lateness: 3_000 }),
    network: (request) => (state.fails ? new Promise(() => {}) : request()),
  })
  await clock.pass(0)
  state.fails = true
  await clock.pass(9_999)
  t.strictSame([a.leads, a.election.isLeader], [true, true])
  await clock.pass(1)
  t.strictSame([a.leads, a.election.isLeader], [true, false], 'who asks knows before the signal')
  await clock.pass(3_000)
  t.notOk(a.leads)
})

t.test('the leader leads on', async (t) => {
  await t.test('where the answer to a renewal is lost', async (t) => {
    const { server, clock, start } = setStage(t)
    const a = start('a', {
      network: async (request) => {
        const answer = await request()
        if (server.log.filter((line) => line.startsWith('PATCH')).length === 1) throw new ApiError(0, 'cut')
        return answer
      },
    })
    await clock.pass(60_000)
    t.strictSame([a.leads, a.terms, a.errors], [true, 1, ['cut']])
  })

  await t.test('where others write something else into the Lease', async (t) => {
    const { server, clock, start } = setStage(t)
    const a = start('a')
    for (let round = 0; round < 5; round++) {
      await clock.pass(10_000)
      server.put({ ...leaseOf(server.get(path)?.spec), metadata: { ...name, labels: { round: String(round) } } })
    }
    t.strictSame([a.leads, a.terms, a.errors], [true, 1, []])
  })

  await t.test('where an answer cannot be understood', async (t) => {
    const { server, clock, start } = setStage(t)
    const a = start('a')
    await clock.pass(0)
    server.intercept = ({ method }) => {
      if (method !== 'PATCH') return undefined
      server.intercept = () => undefined
      return { status: 200, body: null }
    }
    await clock.pass(60_000)
    t.strictSame([a.leads, a.terms, a.errors], [true, 1, ['the object must be an object']])
  })
})

t.test('a Lease whose making was not answered is ours at the next look', async (t) => {
  const { server, clock, start } = setStage(t)
  const a = start('a', {
    network: async (request) => {
      const answer = await request()
      if (server.log.length === 2) throw new ApiError(0, 'cut')
      return answer
    },
  })
  await clock.pass(0)
  t.notOk(a.leads)
  await clock.pass(2_000)
  t.strictSame([a.leads, a.holders], [true, ['a']])
})

t.test('a failure is told once until it is another, or has passed', async (t) => {
  const { server, clock, start } = setStage(t)
  const unauthorized = { status: 401, body: {} }
  const replies: (FakeReply | undefined)[] = []
  server.put(held({ leaseDurationSeconds: 1000 }))
  server.intercept = () => replies.shift()
  const at = (status: number) => `GET ${path}: ${status}`
  replies.push(forbidden, forbidden, forbidden, unauthorized, brokenDown, brokenDown, undefined, brokenDown)
  const a = start('a')
  await clock.pass(60_000)
  t.strictSame(a.errors, [at(403), at(401), at(500), at(500)])
})

t.test('a namespace that is not there is told', async (t) => {
  const { server, clock, start } = setStage(t)
  server.intercept = () => notFound
  const a = start('a')
  await clock.pass(10_000)
  t.match(a.errors, [/^POST .*: 404$/])
  t.equal(a.errors.length, 1)
})

t.test('a Lease that is none is told, and taken when it is mended', async (t) => {
  for (const broken of [[], { ...held(), spec: 'x' }, { ...held(), metadata: 'x' }]) {
    const { server, clock, start } = setStage(t)
    server.intercept = ({ method }) => (method === 'GET' ? { status: 200, body: broken } : undefined)
    const a = start('a')
    await clock.pass(60_000)
    t.strictSame([a.terms, a.errors.length], [0, 1], a.errors[0] ?? 'nothing is told')
    server.intercept = () => undefined
    await clock.pass(5_000)
    t.ok(a.leads)
  }
})

t.test('a lead that fails is told and gives the Lease up, and others have their turn', async (t) => {
  const { clock, start, holder, spec } = setStage(t)
  const failing: Lead = async (signal) => {
    await clock.sleep(1_000, signal)
    throw new Error('out of order')
  }
  const a = start('a', { lead: failing })
  await clock.pass(999)
  t.strictSame([a.leads, holder()], [true, 'a'])
  await clock.pass(1)
  t.strictSame([a.election.isLeader, a.errors], [false, ['out of order']])
  t.match(spec(), { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 0 })
  await clock.pass(14_999)
  t.equal(a.terms, 1)
  await clock.pass(1_001)
  t.strictSame([a.terms, a.errors.length], [2, 2], 'it tries again, and fails again')
  const b = start('b')
  await clock.pass(60_000)
  t.strictSame([b.leads, a.terms], [true, 2])
})

t.test('so does one that throws instead of a rejection', async (t) => {
  const { clock, start, holder } = setStage(t)
  const a = start('a', {
    lead: () => {
      throw new Error('out of order')
    },
  })
  await clock.pass(0)
  t.strictSame([a.errors, holder()], [['out of order'], ''])
})

t.test('a lead that ends gives the Lease up, which is no error', async (t) => {
  const { clock, start, holder } = setStage(t)
  const a = start('a', { lead: async () => {} })
  await clock.pass(0)
  t.strictSame([a.errors, a.holders, holder()], [[], ['a', undefined], ''])
})

t.test('an end', async (t) => {
  /** A lead that takes some time to end, and says by an error that it was told to. */
  const slow =
    (clock: TestClock, milliseconds: number): Lead =>
    async (signal) => {
      await untilAborted(signal)
      await clock.sleep(milliseconds, never)
      throw signal.reason
    }

  await t.test('hands the Lease over', async (t) => {
    const { clock, start, spec } = setStage(t)
    const a = start('a')
    await clock.pass(5_000)
    const b = start('b')
    await clock.pass(1_000)
    a.stop()
    await clock.pass(0)
    t.ok(a.hasEnded)
    t.strictSame(spec(), {
      holderIdentity: '',
      leaseDurationSeconds: 1,
      acquireTime: '2026-01-01T00:00:06.000000Z',
      leaseTransitions: 0,
      renewTime: '2026-01-01T00:00:06.000000Z',
    })
    await clock.pass(1_000)
    t.strictSame([b.leads, b.holders], [true, ['a', undefined, 'b']])
    t.match(spec(), { holderIdentity: 'b', leaseDurationSeconds: 15, leaseTransitions: 1 })
  })

  await t.test('waits for the lead, and keeps the Lease meanwhile', async (t) => {
    const { clock, start, holder } = setStage(t)
    const a = start('a', { lead: slow(clock, 60_000) })
    await clock.pass(0)
    const b = start('b')
    a.stop()
    await clock.pass(0)
    t.notOk(a.leads, 'it is told at once')
    await clock.pass(59_999)
    t.strictSame([a.hasEnded, holder(), b.leads, a.election.isLeader], [false, 'a', false, true])
    await clock.pass(2_001)
    t.strictSame([a.hasEnded, a.errors, b.leads], [true, [], true])
  })

  await t.test('after the Lease was lost takes it from nobody', async (t) => {
    const { server, clock, start, holder } = setStage(t)
    const a = start('a', { lead: slow(clock, 30_000) })
    await clock.pass(0)
    server.put(held())
    await clock.pass(2_000)
    t.notOk(a.leads)
    const count = server.log.length
    await clock.pass(29_999)
    t.equal(server.log.length, count, 'while the lead ends, nothing else is done')
    a.stop()
    await clock.pass(1)
    t.strictSame([a.hasEnded, a.errors, holder()], [true, [], 'other'])
  })

  await t.test('while the Lease is being taken calls no lead, and gives it back', async (t) => {
    const { server, clock, start, holder } = setStage(t)
    server.intercept = async ({ method }) => {
      if (method === 'POST') a.stop()
      return undefined
    }
    const a = start('a')
    await clock.pass(0)
    t.strictSame([a.hasEnded, a.terms, a.errors, holder()], [true, 0, [], ''])
  })

  await t.test('of one that waits asks nothing more', async (t) => {
    const { server, clock, start, holder } = setStage(t)
    server.put(held())
    const a = start('a')
    await clock.pass(5_000)
    const count = server.log.length
    a.stop()
    await clock.pass(0)
    t.strictSame([a.hasEnded, server.log.length - count, holder()], [true, 0, 'other'])
  })

  await t.test('cuts a look short', async (t) => {
    const { clock, start } = setStage(t)
    const a = start('a', { network: () => new Promise(() => {}) })
    await clock.pass(1_000)
    a.stop()
    await clock.pass(0)
    t.strictSame([a.hasEnded, a.errors], [true, []])
  })

  await t.test('is none the worse where the Lease is gone', async (t) => {
    const { server, clock, start } = setStage(t)
    const a = start('a')
    await clock.pass(0)
    server.delete(path)
    a.stop()
    await clock.pass(0)
    t.strictSame([a.hasEnded, a.errors, server.get(path)], [true, [], undefined])
  })
})

t.test('those who wait do not come at the same time', async (t) => {
  const { server, clock, start } = setStage(t)
  server.put(held({ leaseDurationSeconds: 1000 }))
  t.intercept(Math, 'random', { value: () => 0.5, configurable: true, writable: true })
  start('a')
  await clock.pass(0)
  await clock.pass(3_199)
  t.equal(server.log.length, 1)
  await clock.pass(1)
  t.equal(server.log.length, 2)
})

t.test('times that two could lead by are refused', async (t) => {
  const { server, clock } = setStage(t)
  const client = inProcess(server)
  const make = (times: Partial<ElectionTimes>) => () =>
    void new LeaderElection({ client, clock, lease: name, identity: 'a', onError: () => {}, times })
  const refused = [
    { leaseDuration: 10_000 },
    { renewDeadline: 15_000 },
    { renewDeadline: 4_400 },
    { retryPeriod: 5_000 },
    { retryPeriod: 0 },
    { leaseDuration: Number.NaN },
  ]
  for (const times of refused) t.match(thrown(make(times)), /^RangeError: /, JSON.stringify(times))
  t.equal(thrown(make({ leaseDuration: 11_000, retryPeriod: 4_500 })), 'nothing')
})

t.test('by the real client and the real clock, one leads after the other', async (t) => {
  const server = await startFakeApiServer(t)
  const times = { leaseDuration: 300_000, renewDeadline: 200_000, retryPeriod: 1 }
  const order: string[] = []
  const begin = (identity: string) => {
    let began = () => {}
    const isBegun = new Promise<void>((resolve) => {
      began = resolve
    })
    const started = candidate({ client: server.client, identity, times }, async (signal) => {
      order.push(`${identity} begins`)
      began()
      await untilAborted(signal)
      order.push(`${identity} ends`)
    })
    return { ...started, isBegun }
  }
  const a = begin('a')
  await a.isBegun
  const b = begin('b')
  const count = () => server.requests.filter(({ method }) => method === 'PATCH').length
  while (count() < 3) await new Promise(setImmediate)
  a.stop()
  await b.isBegun
  b.stop()
  await Promise.all([a.ended, b.ended])
  t.strictSame(order, ['a begins', 'a ends', 'b begins', 'b ends'])
  t.strictSame([a.errors, b.errors], [[], []])
  t.match(server.requests.find(({ method }) => method === 'PATCH')?.headers, {
    'content-type': 'application/merge-patch+json',
  })
})

/** What a request meets on its way. `deaf`: its client does not heed the signal. */
type Fate = { there: number; back: number; end: 'answered' | 'lost' | 'unanswered' | 'refused'; deaf: boolean }

const fate = fc.record<Fate>({
  there: fc.oneof({ weight: 4, arbitrary: fc.nat(50) }, { weight: 1, arbitrary: fc.nat(8_000) }),
  back: fc.oneof({ weight: 4, arbitrary: fc.nat(50) }, { weight: 1, arbitrary: fc.nat(8_000) }),
  end: fc.oneof(
    { weight: 6, arbitrary: fc.constant('answered' as const) },
    { weight: 2, arbitrary: fc.constantFrom('lost' as const, 'unanswered' as const, 'refused' as const) },
  ),
  deaf: fc.boolean(),
})

type Outage = { from: number; length: number }

/** A network in which requests meet their fates in turn, up to a time, and some periods let nothing through. */
const unreliable = (clock: TestClock, trouble: number, fates: readonly Fate[], outages: readonly Outage[]): Network => {
  let sent = 0
  const smooth: Fate = { there: 1, back: 1, end: 'answered', deaf: false }
  const isCut = () => outages.some(({ from, length }) => clock.now() >= from && clock.now() < from + length)
  return (request, signal) =>
    new Promise((resolve, reject) => {
      const { there, back, end, deaf } = (clock.now() < trouble && fates[sent++ % fates.length]) || smooth
      const fail = () => reject(new ApiError(0, 'cannot be reached'))
      if (!deaf) signal.addEventListener('abort', fail)
      void (async () => {
        await clock.sleep(there, never)
        if (end === 'refused') return fail()
        if (end === 'lost' || isCut()) return
        const answer = await request().then(
          (value) => () => resolve(value),
          (error) => () => reject(error),
        )
        await clock.sleep(back, never)
        if (end !== 'unanswered' && !isCut()) answer()
      })()
    })
}

/** One that runs, for two minutes in which all goes wrong that may. */
const troubled = fc.record({
  offset: fc.nat(1e9),
  rate: fc.double({ min: 0.95, max: 1.05, noNaN: true }),
  calendar: fc.integer({ min: -1e10, max: 1e10 }),
  lateness: fc.nat(500),
  fates: fc.array(fate, { minLength: 1, maxLength: 40 }),
  /** When it is cut off, and for how long. */
  outages: fc.array(fc.record({ from: fc.nat(120_000), length: fc.nat(40_000) }), { maxLength: 3 }),
  /** When it is ended and started again. */
  restarts: fc.array(fc.nat(120_000), { maxLength: 2 }),
  /** How long its lead takes to end, and when it ends of itself. */
  ending: fc.nat(1_000),
  tires: fc.option(fc.nat(60_000)),
})

t.test('whatever fails and however clocks differ, two never lead, and in the end one does', async (t) => {
  const [trouble, peace] = [120_000, 120_000]
  /** So that the property is not met by nobody leading. */
  let [terms, clusters] = [0, 0]
  await fc.assert(
    fc.asyncProperty(
      fc.array(troubled, { minLength: 2, maxLength: 3 }),
      fc.infiniteStream(fc.nat(999)),
      async (all, dice) => {
        clusters++
        const server = new FakeApiServer()
        const clock = new TestClock()
        t.intercept(Math, 'random', {
          value: () => Number(dice.next().value) / 1000,
          configurable: true,
          writable: true,
        })
        /** Everybody who leads, or is still ending. */
        const leading = new Set<number>()
        const elections: LeaderElection[] = []
        const errors: string[] = []
        const runs = all.map(({ fates, outages, restarts, ending, tires, ...skew }, index) => {
          const network = unreliable(clock, trouble, fates, outages)
          const lead: Lead = async (signal) => {
            const others = elections.filter(({ isLeader }, other) => other !== index && isLeader)
            if (leading.size + others.length > 0) throw new Error(`${index} begins to lead while another does`)
            terms++
            leading.add(index)
            const own = clock.now() < trouble ? (tires ?? 1e9) : 1e9
            await clock.sleep(own, signal)
            await clock.sleep(ending, never)
            leading.delete(index)
          }
          const start = () => {
            const stop = new AbortController()
            const election = new LeaderElection({
              client: inProcess(server, network),
              clock: skewed(clock, skew),
              lease: name,
              identity: String(index),
              onError: (error) => errors.push((error as Error).message),
            })
            elections[index] = election
            return { stop, ended: election.run(lead, stop.signal) }
          }
          const life = async () => {
            for (const at of restarts.toSorted((x, y) => x - y)) {
              const { stop, ended } = start()
              await clock.sleep(at - clock.now(), never)
              stop.abort()
              await ended
            }
            const { stop, ended } = start()
            await clock.sleep(trouble + peace - clock.now(), never)
            stop.abort()
            await ended
          }
          return life()
        })
        await clock.pass(trouble + peace - 100)
        const leaders = elections.filter(({ isLeader }) => isLeader).length
        await clock.pass(30_000)
        await Promise.all(runs)
        const broken = errors.filter((message) => message.includes('begins to lead'))
        if (broken.length > 0) throw new Error(broken.join())
        if (leaders !== 1) throw new Error(`${leaders} lead in the end`)
      },
    ),
    { numRuns: 60, interruptAfterTimeLimit: 10_000 },
  )
  t.ok(terms > 2 * clusters, `${terms} terms in ${clusters} clusters`)
})
