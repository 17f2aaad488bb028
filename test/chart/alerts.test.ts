import { createMetrics, observeAddresses, observeView } from '../../src/server/metrics.ts'
import { serviceManifest, submit, until } from '../e2e/cluster.ts'
import { apply } from '../testbed/webhook.ts'
import { type Charting, testChart, testChartOnControlPlane } from './chart.ts'
import { registration } from './leader.ts'

type Alert = { alert: string; expr: string }

const alertsOf = async ({ render }: Charting): Promise<Alert[]> => {
  const manifests = await render('helm4', { prometheusRule: { enabled: true } })
  const rules = manifests.filter(({ kind }) => kind === 'PrometheusRule')
  return rules.flatMap(({ spec }) => (spec as { groups: { rules: Alert[] }[] }).groups.flatMap((group) => group.rules))
}

/** The selectors of an expression: the metric, and its labels with their values or patterns. */
const selectors = ({ expr }: Alert, prefix: string): { metric: string; labels: string }[] =>
  [...expr.matchAll(new RegExp(`\\b(${prefix}_\\w+)(?:\\{(.*?)\\})?`, 'g'))].map(([, metric = '', labels = '']) => ({
    metric,
    labels,
  }))

await testChart('alerts on our metrics are about metrics that there are', async (t, chart) => {
  const metrics = createMetrics()
  observeView(metrics, [])
  observeAddresses(
    metrics,
    () => [],
    () => undefined,
  )
  const ours = (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name)
  const asked = (await alertsOf(chart)).flatMap((alert) => selectors(alert, 'meshvip').map(({ metric }) => metric))
  t.equal(asked.length, 6)
  for (const metric of asked) t.ok(ours.includes(metric), metric)
})

await testChartOnControlPlane('alerts on the API server see that it cannot ask us', async (t, chart, cluster) => {
  // There is no Service of that name: whatever is asked fails.
  await apply(cluster, JSON.stringify(registration().validating))
  const labels = { 'meshvip.dev/virtual-host': 'true' }
  const service = serviceManifest('default', 'orders', { ports: [{ port: 8080 }] }, { labels })
  const refused = async () => (await submit(cluster, ['create'], service)).stderr.includes('failed calling webhook')
  t.ok(await until(async () => (await submit(cluster, ['create', '--dry-run=server'], service)).code !== 0))
  t.ok(await refused(), 'what fails closed is refused')
  const virtualService = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { namespace: 'default', name: 'orders' },
    spec: { hosts: ['orders'], http: [{ route: [{ destination: { host: 'orders' } }] }] },
  }
  t.match(await submit(cluster, ['create'], virtualService), { code: 0 }, 'what fails open is admitted')

  const { stdout } = await cluster.kubectl(['get', '--raw', '/metrics'])
  const samples = stdout.split('\n')
  const asked = (await alertsOf(chart)).flatMap((alert) => selectors(alert, 'apiserver'))
  t.equal(asked.length, 3)
  for (const { metric, labels } of asked) {
    const conditions = [...labels.matchAll(/(\w+)(=~|!=)"(.*?)"/g)].map(([, label, operator, value = '']) => {
      const found = new RegExp(`${label}="([^"]*)"`)
      return (sample: string) => {
        const [, actual = ''] = found.exec(sample) ?? []
        return operator === '!=' ? actual !== value : new RegExp(`^(?:${value})$`).test(actual)
      }
    })
    t.ok(conditions.length > 0, metric)
    t.ok(
      samples.some((sample) => sample.startsWith(`${metric}{`) && conditions.every((holds) => holds(sample))),
      `${metric}{${labels}} has samples`,
    )
  }
})
