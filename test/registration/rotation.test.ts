import fc from 'fast-check'
import t from 'tap'
import { CertificateFollower } from '../../src/certificates/follower.ts'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { readTLSSecret, type TLSSecret } from '../../src/certificates/tls-secret.ts'
import { ApiError } from '../../src/kubernetes/client.ts'
import { hopsOf, trustedByAll } from '../../src/registration/published.ts'
import { presentConfigurations } from '../../src/registration/registrar.ts'
import { TestClock } from '../support/clock.ts'
import { FakeApiServer } from '../support/fake-api-server.ts'
import { inProcess, type Network } from '../support/in-process.ts'
import {
  configurationPaths,
  hopsAt,
  provesUs,
  secretName,
  secretOf,
  secretPath,
  servicePath,
  startRegistrar,
} from '../support/registration.ts'
import { shells } from '../testbed/shells.ts'

const never = new AbortController().signal

const settle = 15_000
const interval = 5_000
/** A certificate is renewed after four minutes; what is served may change that often, and once more for each that is lost. */
const times = { lifetime: 360_000, overlap: 200_000 }
const end = 480_000
/** And then nothing more happens, for so long that what was served at the end has expired. */
const peace = 400_000

/** Everything that happens in a cluster, in milliseconds after its beginning. */
const history = fc.record({
  /** How late an API server heeds what it is told of the configurations. */
  lag: fc.nat(settle - 1_000),
  /** How long requests and answers are under way, in turn. */
  delays: fc.array(fc.oneof({ weight: 4, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(3_000) }), {
    minLength: 1,
    maxLength: 30,
  }),
  /** When another replica leads from then on. */
  leaders: fc.array(fc.nat(end), { maxLength: 4 }),
  /** When the Secret is lost, or somebody else renews what is in it. */
  renewals: fc.array(fc.record({ at: fc.nat(end), isLost: fc.boolean() }), { maxLength: 3 }),
  /** When replicas begin, and when they are started again. */
  replicas: fc.array(fc.array(fc.nat(end), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
})

/** A network that delivers what was sent, though the sender does not wait for it any more. Calls back after each. */
const slow = (clock: TestClock, delays: readonly number[], onDelivered: () => void): Network => {
  let sent = 0
  const delay = () => clock.sleep(delays[sent++ % delays.length] as number, never)
  return (request, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new ApiError(0, 'cut')))
      void (async () => {
        await delay()
        const answer = request()
        await answer.catch(() => {})
        onDelivered()
        await delay()
        await answer.then(resolve, reject)
      })()
    })
}

t.test('nobody serves a certificate that an API server does not trust, unless there is no other', async (t) => {
  let [clusters, changes, samples] = [0, 0, 0]
  await fc.assert(
    fc.asyncProperty(history, async ({ lag, delays, leaders, renewals, replicas }) => {
      clusters++
      const server = new FakeApiServer()
      const clock = new TestClock()
      server.put(...shells)
      server.intercept = ({ path }) => (path === servicePath ? provesUs : undefined)

      const trusted: { since: number; versions: string; cas: Set<string> }[] = []
      const network = slow(clock, delays, () => {
        const versions = Object.values(configurationPaths)
          .map((path) => server.get(path)?.metadata.resourceVersion)
          .join()
        if (versions === trusted.at(-1)?.versions) return
        const cas = new Set(trustedByAll(hopsAt(server)).map(({ fingerprint256 }) => fingerprint256))
        trusted.push({ since: clock.now(), versions, cas })
      })

      const lead = async () => {
        for (const until of [...leaders.toSorted((a, b) => a - b), end + peace]) {
          const leader = startRegistrar(server, clock, { network, times })
          await clock.sleep(until - clock.now(), never)
          await leader.stop()
        }
      }

      const renew = async () => {
        for (const { at, isLost } of renewals.toSorted((a, b) => a.at - b.at)) {
          await clock.sleep(at - clock.now(), never)
          const make = () => makeServingCertificate(['webhook.meshvip.svc'], clock.date(), times.lifetime)
          if (isLost) server.delete(secretPath)
          else server.put(secretOf(await clock.during(make())))
        }
      }

      const client = inProcess(server, network)
      const serving: (TLSSecret | undefined)[] = []
      const replica = async (starts: readonly number[], index: number) => {
        for (const [turn, at] of starts.entries()) {
          await clock.sleep(at - clock.now(), never)
          const stop = new AbortController()
          /** From when on what is served must be trusted. */
          let from = 0
          serving[index] = undefined
          const follower = new CertificateFollower({
            read: async (signal) =>
              readTLSSecret(await client.get('Secret', secretName, signal), 'webhook.meshvip.svc'),
            published: async (signal) =>
              trustedByAll((await presentConfigurations(client, signal)).flatMap(({ object }) => hopsOf(object))),
            use: (certificate) => {
              const before = serving[index]
              const hasOther = before !== undefined && clock.date() < before.leaf.validToDate
              from = hasOther ? clock.now() : clock.now() + settle
              changes += Number(hasOther)
              serving[index] = certificate
            },
            onError: () => {},
            times: { settle, interval },
            clock,
          })
          const running = follower.run(stop.signal)
          const until = starts[turn + 1] ?? end + peace
          while (clock.now() < until) {
            await clock.sleep(Math.min(1_000, until - clock.now()), never)
            const served = serving[index] as TLSSecret | undefined
            if (served === undefined || clock.now() < from || served.leaf.validToDate <= clock.date()) continue
            samples++
            const heeded = trusted.findLast(({ since }) => since <= clock.now() - lag)
            if (!heeded?.cas.has(String(served.cas[0]?.fingerprint256)))
              throw new Error(`at ${clock.now()} replica ${index} serves what is not trusted`)
          }
          stop.abort()
          await running
        }
      }

      const all = Promise.all([
        lead(),
        renew(),
        ...replicas.map((starts, i) =>
          replica(
            starts.toSorted((a, b) => a - b),
            i,
          ),
        ),
      ])
      const failed = all.then(
        () => undefined,
        (error: unknown) => error,
      )
      await clock.pass(end + peace + 10_000)
      const error = await failed
      if (error !== undefined) throw error
      if (serving.some((served) => served === undefined || served.leaf.validToDate <= clock.date()))
        throw new Error('in the end somebody serves nothing that is valid')
    }),
    { numRuns: 25, interruptAfterTimeLimit: 10_000 },
  )
  t.ok(changes > clusters, `${changes} changes and ${samples} looks in ${clusters} clusters`)
})
