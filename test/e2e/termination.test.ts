import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { formatHostPort } from '../../src/server/host-port.ts'
import { startMeshvip } from '../support/meshvip-process.ts'
import type { Balancer } from '../testbed/balancer.ts'
import { type Api, openApi } from './api.ts'
import { type Cluster, testOnCluster, until } from './cluster.ts'
import { type Instance, startInstances } from './instances.ts'
import { allIsWell, failuresOf, figures, increase, Load, type Period, prepareLoad, webhookCounts } from './load.ts'

/** Seconds for which an instance answers after SIGTERM, and those that it may take beyond them to end. */
const [drain, slack] = [5, 3]

type Stage = { cluster: Cluster; api: Api; instances: [Instance, Instance]; balancer: Balancer }

/** Two instances behind a balancer. */
const setStage = async (t: Test, cluster: Cluster): Promise<Stage> => {
  const { instances, balancer } = await startInstances(t, cluster, 2, ({ listen, metricsListen, tls }) =>
    startMeshvip(t, [
      ...['serve', '--kubeconfig', cluster.kubeconfig, '--drain', `${drain}`],
      ...['--tls-cert', tls.cert, '--tls-key', tls.key],
      ...['--listen', formatHostPort(listen), '--metrics-listen', formatHostPort(metricsListen)],
    ]),
  )
  const api = openApi(cluster)
  t.teardown(() => api.close())
  await prepareLoad(cluster)
  return { cluster, api, instances: instances as [Instance, Instance], balancer }
}

/** Asks an instance to end; resolves with the time of that, when it has ended. */
const terminate = async (t: Test, { running }: Instance): Promise<Period> => {
  const from = Date.now()
  running.kill('SIGTERM')
  const ending = await running.ended()
  const to = Date.now()
  t.strictSame(ending, { code: 0, signal: null }, 'it ends well')
  t.equal(running.stderr, '', 'without complaint')
  t.ok(to - from < 1000 * (drain + slack), `in ${to - from} ms`)
  return { from, to }
}

await testOnCluster('instances that end under load', async (t, cluster) => {
  const stage = await setStage(t, cluster)
  const { api, instances, balancer } = stage
  const [a, b] = instances

  /** Starts an instance in the place of one that ended; resolves when it is sent requests. */
  const replace = async (instance: Instance) => {
    await instance.start()
    await balancer.until(instance, true)
  }

  await t.test('a rolling replacement fails no request', async (t) => {
    const before = await webhookCounts(api)
    const load = new Load(api, 'rolling')
    const drains: Period[] = []
    await sleep(2_000)
    for (const instance of [a, b, a, b]) {
      const period = await terminate(t, instance)
      const [all, late] = [instance.answered(), instance.answered(period.from)]
      t.ok(late.length > 0, `it answered ${all.length} reviews, ${late.length} of them after it was asked to end`)
      drains.push(period)
      await replace(instance)
    }
    await sleep(1_000)
    await load.stop()
    const counts = increase(await webhookCounts(api), before)
    t.comment(`all: ${figures(load.calls())}`)
    t.comment(`sent while one ends: ${figures(drains.flatMap((period) => load.calls(period)))}`)
    t.comment(`counted by the API server: ${JSON.stringify(counts)}`)
    t.strictSame(failuresOf(load.calls()), {}, 'no request fails')
    t.match(counts, { failedOpen: 0, failedClosed: 0 }, 'nor does one unnoticed')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    await allIsWell(t, stage)
  })

  await t.test('an instance that crashes costs what it is asked until it is forgotten, and nothing more', async (t) => {
    const [from, load] = [Date.now(), new Load(api, 'crash')]
    await sleep(2_000)
    // Kept connections may all lead to one of the two.
    const [victim] = instances.toSorted((x, y) => y.answered(from).length - x.answered(from).length) as [Instance]
    t.ok(victim.answered(from).length > 0, 'it is in use')
    victim.running.kill('SIGKILL')
    await victim.running.ended()
    await balancer.until(victim, false)
    const forgotten = Date.now()
    await sleep(3_000)
    await replace(victim)
    await sleep(1_000)
    await load.stop()
    const lost = load.calls().filter(({ failure }) => failure !== undefined)
    t.comment(`all: ${figures(load.calls())}; ${lost.length} failed`)
    t.comment(`failed: ${JSON.stringify(failuresOf(lost), undefined, 2)}`)
    t.strictSame(failuresOf(load.calls({ from: forgotten })), {}, 'the other one answers all')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    await allIsWell(t, stage)
  })

  await t.test('while all are gone what must not pass is stopped, and then all is as before', async (t) => {
    const before = await webhookCounts(api)
    const load = new Load(api, 'outage')
    await sleep(1_000)
    const ending = Promise.all(instances.map((instance) => terminate(t, instance)))
    const outOfRotation = instances.map((instance) => balancer.until(instance, false))
    // It is seen a moment after the balancer began to turn requests away.
    await Promise.race(outOfRotation)
    const forgotten = Date.now() - 500
    await Promise.all(outOfRotation)
    await ending
    const gone = Date.now()
    const isStopped = await until(async () => load.calls({ from: gone }).some(({ failure }) => failure !== undefined))
    t.ok(isStopped, 'what is sent while they are gone fails')
    const wanted = Date.now()
    await Promise.all(instances.map(replace))
    const back = Date.now()
    await sleep(2_000)
    await load.stop()
    const answered = load.calls().filter(({ at, milliseconds }) => at + milliseconds < forgotten)
    const outage = load.calls({ from: gone, to: wanted })
    t.comment(`all: ${figures(load.calls())}; ${answered.length} before the outage, ${outage.length} in it`)
    t.strictSame(failuresOf(answered), {}, 'as long as they are sent requests they answer')
    for (const failure of Object.keys(failuresOf(outage))) t.match(failure, / 500 .*failed calling webhook/)
    t.strictSame(failuresOf(load.calls({ from: back })), {}, 'when they are back all is admitted')
    t.strictSame(load.breaches, [], 'nothing is admitted that must not be')
    // This is how both would show in the counts of a replacement.
    const { failedOpen = 0, failedClosed = 0 } = increase(await webhookCounts(api), before)
    t.ok(failedOpen > 0 && failedClosed > 0, `the API server notices: ${failedOpen} open, ${failedClosed} closed`)
    await allIsWell(t, stage)
  })
})
