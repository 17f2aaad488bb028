/**
 * An address can never be given twice: whatever happens in whatever order, request by request (model.ts). The seed is fixed, so that a
 * change of ours is judged by what it changes, and not by luck; a hunt is given another one. MESHVIP_RUNS sets how many schedules are
 * tried, MESHVIP_SEED which; without a seed a hunt takes any. A failure prints the smallest schedule and what happened in it.
 */
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { type Fate, Model, settled } from './model.ts'

const hunt = process.env.MESHVIP_RUNS
t.setTimeout(hunt === undefined ? 120_000 : 0)

const seed = process.env.MESHVIP_SEED ?? (hunt === undefined ? '4' : undefined)
const parameters = {
  ...(hunt === undefined ? { numRuns: 1000, interruptAfterTimeLimit: 12_000 } : { numRuns: Number(hunt) }),
  ...(seed === undefined ? {} : { seed: Number(seed) }),
}

const names: fc.Arbitrary<string> = fc.constantFrom('orders', 'orders', 'carts', 'carts', 'users')
const pick = fc.constantFrom(0, 0, 1, 1, 2)
const replica = fc.nat(2)
const fates: readonly Fate[] = ['answered', 'answered', 'answered', 'answered', 'late', 'lost', 'unanswered']

const steps = {
  write: fc.record({
    does: fc.constant('write' as const),
    name: names,
    draft: fc.constantFrom('apply', 'apply', 'replace', 'replace', 'pick', 'pick', 'ordinary', 'ordinary pick'),
    pick,
    port: fc.constantFrom(3111, 3112),
    dryRun: fc.nat(9).map((n) => n === 9),
    refused: fc.nat(5).map((n) => n === 5),
    mutation: fc.constantFrom(...fates),
    replica,
    arrivals: fc.nat(9),
  }),
  delete: fc.record({ does: fc.constant('delete' as const), name: names }),
  arrive: fc.record({
    does: fc.constant('arrive' as const),
    which: fc.nat(9),
    fate: fc.constantFrom(...fates),
    replica,
    arrivals: fc.nat(4),
  }),
  calm: fc.record({ does: fc.constant('calm' as const) }),
  hear: fc.record({
    does: fc.constant('hear' as const),
    replica,
    kind: fc.constantFrom('Service' as const, 'IPAddress' as const),
    count: fc.constantFrom(1, 2, 3, 9, 9, 9),
  }),
  look: fc.record({ does: fc.constant('look' as const), replica, arrivals: fc.nat(4) }),
  age: fc.record({ does: fc.constant('age' as const) }),
  pass: fc.record({ does: fc.constant('pass' as const), seconds: fc.constantFrom<number[]>(1, 20, 59, 76) }),
  set: fc.record({ does: fc.constant('set' as const), seconds: fc.constantFrom(-3600, -76, 76, 3600) }),
  depose: fc.record({ does: fc.constant('depose' as const), replica }),
  crash: fc.record({ does: fc.constant('crash' as const), replica }),
}

const step = fc.oneof(
  { weight: 12, arbitrary: steps.arrive },
  { weight: 12, arbitrary: steps.write },
  { weight: 4, arbitrary: steps.delete },
  { weight: 3, arbitrary: steps.calm },
  { weight: 8, arbitrary: steps.hear },
  { weight: 10, arbitrary: steps.look },
  { weight: 3, arbitrary: steps.age },
  { weight: 3, arbitrary: steps.pass },
  { weight: 1, arbitrary: steps.set },
  { weight: 1, arbitrary: steps.depose },
  { weight: 1, arbitrary: steps.crash },
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What somebody sends, and what he sends when that was answered, arrives before all else. */
const follow = async (model: Model, arrivals: number, replica: number): Promise<void> => {
  for (let arrived = 0; arrived < arrivals; arrived++) {
    await settled()
    model.arrive(-1, 'answered', replica)
  }
}

const take = async (model: Model, step: Step): Promise<void> => {
  switch (step.does) {
    case 'write':
      model.write(step)
      model.arrive(-1, step.mutation, step.replica)
      return follow(model, step.arrivals, step.replica)
    case 'delete':
      return model.delete(step.name)
    case 'arrive':
      model.arrive(step.which, step.fate, step.replica)
      return follow(model, step.arrivals, step.replica)
    case 'calm':
      return model.calm()
    case 'hear':
      return model.hear(step.replica, step.kind, step.count)
    case 'look':
      model.look(step.replica)
      return follow(model, step.arrivals, step.replica)
    case 'age':
      return model.age()
    case 'pass':
      model.clock += step.seconds * 1000
      return
    case 'set':
      model.skew += step.seconds * 1000
      return
    case 'depose':
      return model.depose(step.replica)
    case 'crash':
      return model.crash(step.replica)
  }
}

const scenario = fc.record({
  cidr: fc.constantFrom('240.240.0.0/30', '240.240.0.0/29'),
  replicas: fc.constantFrom(2, 3),
  seeds: fc.uniqueArray(
    fc.record({ name: names, pick: fc.nat(1), is: fc.constantFrom('legacy', 'claimed', 'gone', 'released') }),
    { maxLength: 2, selector: ({ name }) => name },
  ),
})

type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never

let model: Model | undefined
const real = { Date: globalThis.Date, setTimeout: timers.setTimeout }
t.before(() => {
  // Not by t.intercept, which remembers who reads the clock, each time.
  globalThis.Date = class extends real.Date {
    constructor(value: number | string | Date = model?.date ?? real.Date.now()) {
      super(value)
    }
  } as DateConstructor
  const sleep = async (_: number, value: unknown, { signal }: { signal: AbortSignal }) => {
    await model?.sleep(signal)
    return value
  }
  Object.assign(timers, { setTimeout: sleep })
  syncBuiltinESMExports()
})
t.after(() => {
  globalThis.Date = real.Date
  timers.setTimeout = real.setTimeout
  syncBuiltinESMExports()
})

/** Throws where something is as it must never be after any step, or when everything has come to rest. */
const explore = async (scenario: Scenario, steps: readonly Step[]): Promise<void> => {
  model = new Model(scenario)
  try {
    await model.start()
    for (const step of steps) {
      model.history.push(JSON.stringify(step))
      await take(model, step)
      await settled()
      model.check()
    }
    await model.rest()
  } finally {
    await model.end()
  }
}

t.test('the races that each part of it is there for', async (t) => {
  const age: Step = { does: 'age' }
  const look = (arrivals: number, replica = 0): Step => ({ does: 'look', replica, arrivals })
  const pass = (seconds: number): Step => ({ does: 'pass', seconds })
  const oldest: Step = { does: 'arrive', which: 0, fate: 'answered', replica: 0, arrivals: 0 }
  type Write = Extract<Step, { does: 'write' }>
  const write = (name: string, changes: Partial<Write>): Step => {
    const usual = { pick: 0, port: 3111, dryRun: false, refused: false, mutation: 'answered', replica: 0 } as const
    return { does: 'write', name, draft: 'apply', ...usual, arrivals: 9, ...changes }
  }
  const rows: [story: string, seeds: Scenario['seeds'], steps: Step[]][] = [
    [
      'a Service is made again between the last look at it and the deletion of its claim',
      [{ name: 'carts', pick: 0, is: 'released' }],
      [age, look(2), write('carts', { arrivals: 6 }), oldest],
    ],
    [
      'it is admitted without mutation on a claim that is about to be deleted',
      [{ name: 'carts', pick: 0, is: 'gone' }],
      [age, look(0), write('carts', { draft: 'pick', mutation: 'lost', arrivals: 0 })],
    ],
    [
      'or that was released before',
      [{ name: 'carts', pick: 0, is: 'released' }],
      [age, look(0), write('carts', { draft: 'pick', mutation: 'lost', arrivals: 0 })],
    ],
    [
      'a Service is not stored before the janitor looks twice',
      [],
      [
        write('orders', { arrivals: 1 }),
        { does: 'hear', replica: 0, kind: 'IPAddress', count: 9 },
        look(1),
        pass(59),
        look(9),
      ],
    ],
    [
      'its claim is touched at a time at which it was touched before',
      [{ name: 'carts', pick: 0, is: 'claimed' }],
      [
        write('carts', { port: 3112 }),
        { does: 'delete', name: 'carts' },
        { does: 'hear', replica: 0, kind: 'Service', count: 9 },
        look(1),
        pass(76),
        { does: 'set', seconds: -76 },
        look(2),
        write('carts', { arrivals: 3 }),
        oldest,
      ],
    ],
    [
      'an update that drops the address is mutated by a replica that has not heard whose it is',
      [{ name: 'carts', pick: 0, is: 'gone' }],
      [
        look(1),
        pass(76),
        look(9),
        look(1),
        pass(76),
        look(9),
        write('orders', { draft: 'pick' }),
        write('orders', { draft: 'replace', port: 3112, replica: 1 }),
      ],
    ],
  ]
  for (const [story, seeds, steps] of rows)
    await t.resolves(explore({ cidr: '240.240.0.0/30', replicas: 2, seeds }, steps), story)
})

t.test('whatever happens in whatever order, no address is given twice or lost', async () => {
  await fc.assert(fc.asyncProperty(scenario, fc.array(step, { maxLength: 30, size: 'max' }), explore), parameters)
})
