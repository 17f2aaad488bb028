import t, { type Test } from 'tap'
import { CertificateFollower } from '../../src/certificates/follower.ts'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { certificatesIn, readTLSSecret, type TLSSecret } from '../../src/certificates/tls-secret.ts'
import { holdTimeouts, TestClock } from '../support/clock.ts'
import { secretOf } from '../support/registration.ts'

const start = new TestClock().date()

const make = async (date = start, lifetime?: number): Promise<TLSSecret> =>
  readTLSSecret(secretOf(await makeServingCertificate(['webhook.meshvip.svc'], date, lifetime)), 'webhook.meshvip.svc')

const first = await make()
const second = await make()
const third = await make()

const settle = 15_000

/** A follower of a Secret, and of what is published, whose time passes only as the test says. */
const follow = (t: Test, secret = first) => {
  const clock = new TestClock()
  const stage = {
    clock,
    /** What the Secret has: a certificate, none, or why it cannot be read. */
    secret: secret as TLSSecret | undefined | Error,
    published: secret.cas as TLSSecret['cas'] | Error,
    /** Why what is found cannot be used. */
    trouble: undefined as Error | undefined,
    used: [] as TLSSecret[],
    errors: [] as string[],
    reads: 0,
  }
  const follower = new CertificateFollower({
    read: async () => {
      stage.reads++
      if (stage.secret instanceof Error) throw stage.secret
      return readTLSSecret(stage.secret && secretOf(stage.secret), 'webhook.meshvip.svc')
    },
    published: async () => {
      if (stage.published instanceof Error) throw stage.published
      return stage.published
    },
    use: (certificate) => {
      if (stage.trouble !== undefined) throw stage.trouble
      stage.used.push(certificate)
    },
    onError: (error) => stage.errors.push((error as Error).message),
    clock,
  })
  const stop = new AbortController()
  const ended = follower.run(stop.signal)
  const end = async () => {
    stop.abort()
    await ended
  }
  t.teardown(end)
  return Object.assign(stage, {
    end,
    /** What it says it serves: one of those above. */
    serves: (certificate: TLSSecret | undefined) =>
      follower.serving?.fingerprint256 === certificate?.leaf.fingerprint256 &&
      stage.used.at(-1)?.cert === certificate?.cert,
  })
}

/** One that serves the first certificate; the Secret has the second from now on. */
const renewing = async (t: Test, renewed = second) => {
  const stage = follow(t)
  await stage.clock.pass(0)
  stage.secret = renewed
  return stage
}

t.test('the first certificate is served at once where its CA is published', async (t) => {
  const stage = follow(t)
  t.ok(stage.serves(undefined))
  await stage.clock.pass(0)
  t.ok(stage.serves(first))
  t.strictSame([stage.used.length, stage.errors], [1, []])
  await stage.clock.pass(60_000)
  t.strictSame([stage.used.length, stage.reads], [1, 13], 'once, however often it is found')
})

t.test('it is not before that, and the log says why', async (t) => {
  for (const published of [[], second.cas]) {
    const stage = follow(t)
    stage.published = published
    await stage.clock.pass(60_000)
    t.ok(stage.serves(undefined))
    t.strictSame(stage.errors, ['the webhook configurations do not have its CA yet, in each of their entries'])
    stage.published = [...second.cas, ...first.cas]
    await stage.clock.pass(5_000)
    t.ok(stage.serves(first))
  }
})

t.test('a new certificate is served when its CA has been published for a while', async (t) => {
  const stage = await renewing(t)
  await stage.clock.pass(60_000)
  t.ok(stage.serves(first), 'not before')
  stage.published = [...first.cas, ...second.cas]
  await stage.clock.pass(5_000 + settle - 1)
  t.ok(stage.serves(first), 'nor at once')
  await stage.clock.pass(1)
  t.ok(stage.serves(second))
  t.strictSame(stage.errors, [])
})

t.test('of several CAs all must be published, since any may have signed it', async (t) => {
  const ca = first.ca + second.ca
  const stage = await renewing(t, { ...second, ca, cas: certificatesIn(ca) })
  stage.published = second.cas
  await stage.clock.pass(60_000)
  t.ok(stage.serves(first))
  stage.published = [...second.cas, ...first.cas]
  await stage.clock.pass(60_000)
  t.ok(stage.serves(second))
})

t.test('the while begins anew', async (t) => {
  await t.test('where the CA was away in between', async (t) => {
    const stage = await renewing(t)
    const both = [...first.cas, ...second.cas]
    stage.published = both
    await stage.clock.pass(15_000)
    stage.published = first.cas
    await stage.clock.pass(5_000)
    stage.published = both
    await stage.clock.pass(5_000 + settle - 1)
    t.ok(stage.serves(first))
    await stage.clock.pass(1)
    t.ok(stage.serves(second))
  })

  await t.test('where another certificate came', async (t) => {
    const stage = await renewing(t)
    stage.published = [...first.cas, ...second.cas, ...third.cas]
    await stage.clock.pass(15_000)
    stage.secret = third
    await stage.clock.pass(5_000 + settle - 1)
    t.ok(stage.serves(first))
    await stage.clock.pass(1)
    t.ok(stage.serves(third))
    t.equal(stage.used.length, 2)
  })

  await t.test('where the one that is served was back in between', async (t) => {
    const stage = await renewing(t)
    stage.published = [...first.cas, ...second.cas]
    await stage.clock.pass(15_000)
    stage.secret = first
    await stage.clock.pass(5_000)
    stage.secret = second
    await stage.clock.pass(5_000 + settle - 1)
    t.ok(stage.serves(first))
    await stage.clock.pass(1)
    t.ok(stage.serves(second))
  })
})

t.test('where what is served has expired, a published one is served at once', async (t) => {
  const short = await make(start, 31_000)
  const stage = follow(t, short)
  stage.published = [...short.cas, ...second.cas]
  await stage.clock.pass(25_000)
  stage.secret = second
  await stage.clock.pass(5_000)
  t.ok(stage.serves(short), 'not while it is good')
  await stage.clock.pass(5_000)
  t.ok(stage.serves(second))
})

t.test('where it has expired, and the new CA is not published, the log says so', async (t) => {
  const short = await make(start, 31_000)
  const stage = follow(t, short)
  await stage.clock.pass(25_000)
  stage.secret = second
  await stage.clock.pass(60_000)
  t.ok(stage.serves(short))
  t.match(stage.errors, [/do not have its CA yet/])
  t.equal(stage.errors.length, 1)
})

t.test('one that is not valid yet by our clock', async (t) => {
  const later = await make(new Date(start.getTime() + 10 * 60_000))

  await t.test('is waited for while there is another', async (t) => {
    const stage = await renewing(t, later)
    stage.published = [...first.cas, ...later.cas]
    await stage.clock.pass(5 * 60_000 - 1)
    t.ok(stage.serves(first))
    await stage.clock.pass(1)
    t.ok(stage.serves(later))
  })

  await t.test('is served where there is none: our clock may be the wrong one', async (t) => {
    const stage = follow(t, later)
    await stage.clock.pass(0)
    t.ok(stage.serves(later))
  })
})

t.test('one that has expired', async (t) => {
  const expired = await make(new Date(start.getTime() - 60_000), 30_000)

  await t.test('is not served while there is another that has not, and the log says so', async (t) => {
    const stage = await renewing(t, expired)
    stage.published = [...first.cas, ...expired.cas, ...second.cas]
    await stage.clock.pass(60_000)
    t.ok(stage.serves(first))
    t.match(stage.errors, [
      /^the one in the Secret has expired at Dec 31 23:59:30 2025 GMT; the one before is served on$/,
    ])
    stage.secret = second
    await stage.clock.pass(5_000 + settle)
    t.ok(stage.serves(second))
  })

  await t.test('is served where there is none: our clock may be the wrong one', async (t) => {
    const stage = follow(t, expired)
    await stage.clock.pass(0)
    t.ok(stage.serves(expired))
  })
})

t.test('what cannot be had or used changes nothing, is told once, and tried again', async (t) => {
  type Change = { [what in 'secret' | 'published' | 'trouble']?: ReturnType<typeof follow>[what] }
  const table: [what: string, fail: Change, mend: Change, told: string][] = [
    [
      'a Secret that is gone',
      { secret: undefined },
      { secret: second },
      'the Secret with the serving certificate cannot be used: there is none',
    ],
    ['a Secret that cannot be read', { secret: new Error('forbidden') }, { secret: second }, 'forbidden'],
    [
      'configurations that cannot be read',
      { published: new Error('forbidden') },
      { published: second.cas },
      'forbidden',
    ],
    [
      'a certificate that TLS does not take',
      { trouble: new Error('ee key too small') },
      { trouble: undefined },
      'ee key too small',
    ],
  ]
  for (const [what, fail, mend, told] of table) {
    await t.test(what, async (t) => {
      const stage = await renewing(t)
      stage.published = second.cas
      Object.assign(stage, fail)
      await stage.clock.pass(60_000)
      t.ok(stage.serves(first))
      t.strictSame(stage.errors, [told])
      Object.assign(stage, mend)
      await stage.clock.pass(60_000)
      t.ok(stage.serves(second))
      stage.secret = new Error(told)
      await stage.clock.pass(60_000)
      t.strictSame(stage.errors, [told, told], 'and told again when it comes again')
    })
  }
})

t.test('an end is at once, and what it cuts short is not told', async (t) => {
  const clock = new TestClock()
  const errors: unknown[] = []
  const stop = new AbortController()
  const follower = new CertificateFollower({
    read: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('cut')))),
    published: async () => [],
    use: () => {},
    onError: (error) => errors.push(error),
    clock,
  })
  const ended = follower.run(stop.signal)
  await clock.pass(60_000)
  stop.abort()
  await ended
  t.strictSame(errors, [])
  const idle = follow(t)
  await idle.clock.pass(0)
  await idle.end()
  await idle.clock.pass(60_000)
  t.equal(idle.reads, 1)
})

t.test('an API server that does not answer is asked again', async (t) => {
  const pass = holdTimeouts(t)
  const clock = new TestClock()
  let reads = 0
  const follower = new CertificateFollower({
    read: (signal) =>
      reads++ > 0
        ? Promise.resolve(first)
        : new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('it does not answer')))),
    published: async () => first.cas,
    use: () => {},
    onError: (error) => t.equal((error as Error).message, 'it does not answer'),
    clock,
  })
  const stop = new AbortController()
  const ended = follower.run(stop.signal)
  await clock.pass(60_000)
  t.equal(follower.serving, undefined)
  pass()
  await clock.pass(5_000)
  t.equal(follower.serving, first.leaf)
  stop.abort()
  await ended
})
