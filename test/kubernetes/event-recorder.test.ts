import fc from 'fast-check'
import t, { type Test } from 'tap'
import { EventRecorder, type EventRecorderOptions, type Report } from '../../src/kubernetes/event-recorder.ts'
import { TestClock } from '../support/clock.ts'
import {
  brokenDown,
  FakeApiServer,
  type FakeReply,
  type FakeRequest,
  forbidden,
  notFound,
  startFakeApiServer,
} from '../support/fake-api-server.ts'
import { inProcess } from '../support/in-process.ts'

const events = '/apis/events.k8s.io/v1/namespaces/shop/events'

const regarding = { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'orders', uid: 'uid-1' }

const report = (changes: Partial<Report> = {}): Report => ({
  regarding,
  type: 'Warning',
  reason: 'AddressTaken',
  action: 'Reported',
  note: '240.240.0.7 is another Service of that name, too',
  ...changes,
})

const start = async (t: Test, options: Partial<EventRecorderOptions> = {}) => {
  const server = await startFakeApiServer(t)
  const clock = new TestClock()
  const [dropped, errors]: [Report[], string[]] = [[], []]
  const recorder = new EventRecorder({
    client: server.client,
    identity: 'meshvip-0',
    onDropped: (what) => dropped.push(what),
    onError: (error) => errors.push((error as Error).message),
    clock,
    ...options,
  })
  /** Reports, and waits until that is written. */
  const record = async (...reports: Report[]) => {
    for (const one of reports) recorder.record(one)
    await recorder.flush()
  }
  return { server, clock, dropped, errors, recorder, record }
}

type Event = { metadata: { name: string; namespace: string }; series?: object; note: string; [field: string]: unknown }

/** All Events that there are. */
const eventsIn = async ({ client }: FakeApiServer) =>
  (await client.list('Event', {}, AbortSignal.timeout(10_000))) as Event[]

/** What is written: `POST`, or `PATCH` and the count. */
const writes = ({ requests }: FakeApiServer) =>
  requests.flatMap(({ method, body }) => {
    if (method === 'GET') return []
    return `${method} ${(body as { series?: { count: number } }).series?.count ?? ''}`.trimEnd()
  })

t.test('an Event is what the API server asks of one', async (t) => {
  const { server, record, errors } = await start(t)
  await record(report())
  const [event, ...others] = await eventsIn(server)
  const { metadata, ...fields } = event as Event
  t.strictSame(others, [])
  t.match(metadata, { namespace: 'shop', name: /^orders\.[0-9a-f]{16}$/ })
  t.strictSame(fields, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'meshvip.dev/meshvip',
    reportingInstance: 'meshvip-0',
    type: 'Warning',
    reason: 'AddressTaken',
    action: 'Reported',
    regarding,
    note: '240.240.0.7 is another Service of that name, too',
  })
  t.strictSame(errors, [])
})

t.test('what has no namespace has its Events in default', async (t) => {
  const { server, record } = await start(t)
  const claim = { apiVersion: 'networking.k8s.io/v1', kind: 'IPAddress', namespace: '', name: '2001:db8::1' }
  await record(report({ regarding: claim }))
  await record(report({ regarding: claim }))
  const { namespace: _, ...clusterScoped } = claim
  const [event] = await eventsIn(server)
  t.match(event?.metadata, { namespace: 'default', name: /^2001-db8--1\.[0-9a-f]{16}$/ })
  t.strictSame(event?.regarding, clusterScoped)
  t.match(event?.series, { count: 2 })
})

t.test('an Event has the name of its object as far as it may', async (t) => {
  const { server, record } = await start(t)
  const table = [
    ['orders.v1', 'orders.v1.'],
    ['2001:db8::1', '2001-db8--1.'],
    ['System:Node', 'system-node.'],
    ['-a-.-.-b-', 'a.b.'],
    ['___', ''],
    ['a'.repeat(253), `${'a'.repeat(236)}.`],
  ] as const
  for (const [name, begins] of table) {
    server.clear()
    await record(report({ regarding: { ...regarding, name } }))
    const [event] = await eventsIn(server)
    t.equal(event?.metadata.name.replace(/[0-9a-f]{16}$/, ''), begins)
  }
})

t.test('what is reported again is the same Event, and counts', async (t) => {
  const { server, clock, record, errors } = await start(t)
  for (let count = 1; count <= 120; count++) {
    await record(report())
    await clock.pass(30_000)
  }
  const all = await eventsIn(server)
  t.equal(all.length, 1)
  t.match(all[0], {
    eventTime: '2026-01-01T00:00:00.000000Z',
    series: { count: 120, lastObservedTime: '2026-01-01T00:59:30.000000Z' },
  })
  t.strictSame(server.requests[1]?.body, { series: { count: 2, lastObservedTime: '2026-01-01T00:00:30.000000Z' } })
  t.strictSame(errors, [])
})

t.test('what is reported again after a while is another Event', async (t) => {
  const { server, clock, record } = await start(t)
  await record(report())
  await clock.pass(360_000)
  await record(report())
  t.equal((await eventsIn(server)).length, 1, 'not yet')
  await clock.pass(360_001)
  await record(report())
  t.equal((await eventsIn(server)).length, 2)
  t.strictSame(writes(server), ['POST', 'PATCH 2', 'POST'])
})

t.test('what differs in anything is another Event', async (t) => {
  const { server, record } = await start(t)
  const others = [
    { regarding: { ...regarding, uid: 'uid-2' } },
    { regarding: { ...regarding, kind: 'VirtualService' } },
    { regarding: { ...regarding, name: 'carts' } },
    { regarding: { ...regarding, namespace: 'store' } },
    { type: 'Normal' as const },
    { reason: 'AddressGiven' },
    { action: 'Collected' },
    { note: 'x' },
  ]
  await record(report(), ...others.map(report))
  t.equal((await eventsIn(server)).length, others.length + 1)
})

t.test('an Event that is gone is made anew, and counts on', async (t) => {
  const { server, clock, record, errors } = await start(t)
  await record(report())
  await clock.pass(60_000)
  for (const { metadata } of await eventsIn(server)) server.delete(`${events}/${metadata.name}`)
  await record(report())
  await record(report())
  t.strictSame(writes(server), ['POST', 'PATCH 2', 'POST 2', 'PATCH 3'])
  t.match(await eventsIn(server), [
    {
      eventTime: '2026-01-01T00:00:00.000000Z',
      series: { count: 3, lastObservedTime: '2026-01-01T00:01:00.000000Z' },
    },
  ])
  t.strictSame(errors, [])
})

/** Holds each request back until it is let go. */
const holdBack = (server: FakeApiServer) => {
  const held: ((reply: FakeReply | undefined) => void)[] = []
  const waiting: (() => void)[] = []
  server.intercept = () =>
    new Promise((resolve) => {
      held.push(resolve)
      waiting.shift()?.()
    })
  return {
    held,
    /** Lets the next request that comes go. */
    letGo: async (reply?: FakeReply) => {
      while (held.length === 0) await new Promise<void>((resolve) => waiting.push(resolve))
      held.shift()?.(reply)
    },
  }
}

t.test('reports that come while one is written are one write', async (t) => {
  const { server, recorder } = await start(t)
  const { letGo } = holdBack(server)
  for (let count = 0; count < 10; count++) recorder.record(report())
  await letGo()
  await letGo()
  await recorder.flush()
  t.strictSame(writes(server), ['POST', 'PATCH 10'])
})

t.test('so many are written at a time, so many wait, and the others are dropped', async (t) => {
  const { server, recorder, dropped } = await start(t, { limits: { writers: 2, waiting: 3 } })
  const { held, letGo } = holdBack(server)
  const reports = Array.from({ length: 7 }, (_, index) => report({ note: `note ${index}` }))
  for (const one of reports) recorder.record(one)
  t.strictSame(dropped, [reports[5]], 'two are being written, three wait')
  recorder.record(report({ note: 'note 4' }))
  await letGo()
  await letGo()
  t.ok(held.length <= 2)
  for (let count = 0; count < 3; count++) await letGo()
  await recorder.flush()
  server.intercept = () => undefined
  const notes = (await eventsIn(server)).map(({ note, series }) => [note, series !== undefined])
  t.strictSame(notes.sort(), [
    ['note 0', false],
    ['note 1', false],
    ['note 2', false],
    ['note 3', false],
    ['note 4', true],
  ])
})

t.test('that Events are dropped is told once in a while', async (t) => {
  const { server, clock, recorder, dropped } = await start(t, { limits: { writers: 1, waiting: 1 } })
  const { letGo } = holdBack(server)
  const look = () => {
    for (let index = 0; index < 1_000; index++) recorder.record(report({ note: `note ${index}` }))
  }
  look()
  await clock.pass(59_999)
  look()
  t.equal(dropped.length, 1)
  await clock.pass(1)
  look()
  t.equal(dropped.length, 2)
  await letGo()
  await letGo()
  await recorder.flush()
})

t.test('an end does not wait for all Events where nobody answers', async (t) => {
  const { server, clock, recorder, errors } = await start(t, { limits: { writers: 1 } })
  const { letGo } = holdBack(server)
  const reports = Array.from({ length: 100 }, (_, index) => report({ note: `note ${index}` }))
  for (const one of reports) recorder.record(one)
  const flushed = recorder.flush()
  await clock.pass(10_000)
  await letGo(brokenDown)
  await flushed
  t.strictSame(writes(server), ['POST'], 'the one under way is the last')
  t.match(errors, [/ 500 /])
})

t.test('so many reports are remembered, those that were reported last', async (t) => {
  const { server, record } = await start(t, { limits: { recent: 2 } })
  const [a, b, c] = ['a', 'b', 'c'].map((note) => report({ note })) as [Report, Report, Report]
  for (const one of [a, b, a, c, a, b]) await record(one)
  t.strictSame(writes(server), ['POST', 'POST', 'PATCH 2', 'POST', 'PATCH 3', 'POST'])
})

t.test('a failure', async (t) => {
  const failing = (reply: (request: FakeRequest) => FakeReply | undefined) => async (t: Test) => {
    const stage = await start(t)
    stage.server.intercept = reply
    return stage
  }

  await t.test('is told, once in a while', async (t) => {
    const { clock, record, errors } = await failing(() => forbidden)(t)
    await record(report(), report({ note: 'x' }))
    await clock.pass(59_999)
    await record(report())
    t.match(errors, [/ 403 /])
    t.equal(errors.length, 1)
    await clock.pass(1)
    await record(report())
    t.equal(errors.length, 2)
  })

  await t.test('is made good by the next report', async (t) => {
    const replies = [brokenDown, undefined, brokenDown, undefined]
    const { server, record, errors } = await failing(() => replies.shift())(t)
    for (let count = 0; count < 4; count++) await record(report())
    t.strictSame(writes(server), ['POST', 'POST 2', 'PATCH 3', 'PATCH 4'])
    t.match(await eventsIn(server), [{ series: { count: 4 } }])
    t.match(errors, [/ 500 /])
  })

  const terminating = { status: 403, body: { message: 'unable to create in shop because it is being terminated' } }
  for (const [what, reply] of [
    ['gone', notFound],
    ['going', terminating],
  ] as const) {
    await t.test(`since the namespace is ${what} is none`, async (t) => {
      const { record, errors, dropped } = await failing(() => reply)(t)
      await record(report())
      await record(report())
      t.strictSame([errors, dropped], [[], []])
    })
  }

  await t.test('is that nobody answers, too', async (t) => {
    const { server, recorder, errors } = await start(t, { limits: { request: 1 } })
    server.intercept = () => new Promise(() => {})
    recorder.record(report())
    await recorder.flush()
    t.match(errors, [/cannot be reached/])
  })
})

t.test("time is the system clock's where no other is given", async (t) => {
  const server = await startFakeApiServer(t)
  const recorder = new EventRecorder({ client: server.client, identity: 'a', onDropped: () => {}, onError: () => {} })
  recorder.record(report())
  await recorder.flush()
  const [event] = await eventsIn(server)
  t.ok(Math.abs(Date.parse(String(event?.eventTime)) - Date.now()) < 600_000)
})

t.test('whatever is reported, the Event is within what the API server takes', async (t) => {
  const server = new FakeApiServer()
  const text = fc.string({ unit: 'binary', maxLength: 3_000, size: 'max' })
  const name = fc.oneof(
    fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/),
    fc.string({ maxLength: 300, size: 'max' }),
  )
  const property = fc.asyncProperty(
    name,
    text,
    fc.string({ unit: 'binary', maxLength: 300, size: 'max' }),
    async (name, note, identity) => {
      server.clear()
      const [errors, drops]: [unknown[], unknown[]] = [[], []]
      const recorder = new EventRecorder({
        client: inProcess(server),
        identity,
        onDropped: (dropped) => drops.push(dropped),
        onError: (error) => errors.push(error),
      })
      recorder.record(report({ regarding: { ...regarding, name }, note }))
      await recorder.flush()
      const event = server.requests[0]?.body as Event
      // RFC 1123, as apimachinery's IsDNS1123Subdomain has it.
      const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
      t.match(event.metadata.name, new RegExp(`^${label}(\\.${label})*$`))
      t.ok(event.metadata.name.length <= 253)
      const bytes = (of: unknown) => Buffer.byteLength(String(of))
      t.ok(bytes(event.note) <= 1024)
      t.ok(bytes(event.reportingInstance) <= 128)
      t.ok(note.isWellFormed() ? note.startsWith(event.note) : true)
      t.ok(bytes(note) <= 1024 ? event.note === JSON.parse(JSON.stringify(note)) : bytes(event.note) > 1020)
      t.strictSame([errors, drops], [[], []])
    },
  )
  await fc.assert(property, { numRuns: 200, interruptAfterTimeLimit: 5_000 })
})
