/** The pages that are made from the source of truth. A test fails where they are not as this makes them. */
import { stringify } from 'yaml'
import { type AddressList, addressList } from '../src/address-list/address-list.ts'
import { formats } from '../src/address-list/format.ts'
import { stateNames, states } from '../src/address-list/states.ts'
import { checkReportSchema } from '../src/check/formats/json-schema.ts'
import { manifestRules } from '../src/check/manifest-rules.ts'
import { configurationSchema } from '../src/config/schema.ts'
import { type Page, pagesOf } from '../src/explain.ts'
import { staticPolicy } from '../src/registration/static-policy.ts'
import { cell, describeRules, ruleTables } from '../src/rules/describe.ts'
import { defaultPolicy } from '../src/rules/policy.ts'
import { createMetrics, observeAddresses, observeView } from '../src/server/metrics.ts'
import { addressesFile, addressesSeen, addressesStore } from '../test/fixtures/addresses.ts'
import { readExamples } from '../test/fixtures/examples.ts'
import { chartValues, chartValuesSchema, chartValuesTable } from './chart.ts'

/** What a generated page begins with. */
export const madeBy = (script: string): string =>
  `<!-- Made by \`npm run ${script}\`; change the source and not this page. -->\n`

const header = madeBy('docs')

const yamlHeader = '# Made by `npm run docs`; change src/registration/static-policy.ts and not this file.\n'

const blockOf = (block: Page['blocks'][number]): string => {
  if ('heading' in block) return `## ${block.heading}`
  if ('text' in block) return block.text
  if ('code' in block) return `\`\`\`${block.language}\n${block.code}\n\`\`\``
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    row(block.rows.map(([name]) => name)),
    row(block.rows.map(() => '---')),
    row(block.rows.map(([, value]) => value)),
  ].join('\n')
}

const rulePage = ({ id, blocks }: Page): string => `${[`${header}\n# ${id}`, ...blocks.map(blockOf)].join('\n\n')}\n`

const rulesIndex = (): string => `${header}
# Rules

Each page has a bad and a good manifest; both are applied to [this cluster](../../test/fixtures/rules/cluster.yaml).
\`meshvip explain RULE\` shows it in a terminal.

${ruleTables.markdown(describeRules(defaultPolicy).map((rule) => ({ ...rule, page: `${rule.id}.md` })))}
\`meshvip check\` reads manifests before there is anything to judge, and says of them:

| | what it finds |
| --- | --- |
${manifestRules.map(({ id, finds }) => `| [${id}](${id}.md) | ${cell(finds)} |`).join('\n')}
`

type Property = { description?: string; type?: string; enum?: readonly string[]; default?: unknown }

const configurationPage = (): string => {
  const { rules: ruleProperties, ...properties } = configurationSchema.properties as Record<string, Property>
  const rows = Object.entries(properties).map(([name, { description, type, enum: values, default: preset }]) => {
    const kind = values === undefined ? String(type) : values.map((value) => `\`${value}\``).join(', ')
    const given = preset === undefined ? '' : `\`${JSON.stringify(preset)}\``
    return `| \`${name}\` | ${cell(kind)} | ${cell(given)} | ${cell(String(description))} |`
  })
  return `${header}
# Configuration

One YAML file, given with \`--config FILE\`. Everything may be left out. A file that is wrong stops the start, with the line, the
field and what is expected there. It is loaded anew when it changes; a wrong one then leaves the one in force as it is, and a log
line says why. Another \`clusterDomain\` takes a restart.

| field | type | default | what it is |
| --- | --- | --- | --- |
${rows.join('\n')}
| \`rules\` | object | see [rules](rules/README.md) | ${ruleProperties?.description} |

\`\`\`yaml
pools:
  - cidr: 240.240.0.0/16
allowedExternalIPs:
  - 192.0.2.0/24
rules:
  service-port-80: warn # for virtual hosts and others alike
  service-port-name:
    other: "off"
namespaces:
  - selector:
      matchLabels:
        stage: test
    rules:
      virtualservice-host-unknown: warn
exemptions:
  - rules: [service-port-80]
    namespaces: [legacy-*]
    reason: moves to port 8080 in spring
    expires: 2027-04-01
\`\`\`
`
}

const metricsPage = async (): Promise<string> => {
  const created = createMetrics()
  observeView(created, [])
  observeAddresses(
    created,
    () => [],
    () => undefined,
  )
  const metrics = (await created.registry.getMetricsAsJSON()).filter(({ name }) => name.startsWith('meshvip_'))
  return `${header}
# Metrics

Served at \`/metrics\` of \`--metrics-listen\`, beside those of the Node.js process.

| metric | type | what it counts |
| --- | --- | --- |
${metrics.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${cell(help)} |`).join('\n')}
`
}

const addressesPage = async (): Promise<string> => {
  const list = addressList(await addressesStore(), defaultPolicy)
  const held: AddressList = { ...list, addresses: list.addresses.filter(({ state }) => state === 'held') }
  return `${header}
# What meshvip vips shows

| state | what it means | what to do |
| --- | --- | --- |
${stateNames.map((name) => `| ${name} | ${cell(states[name].meaning)} | ${cell(states[name].remedy)} |`).join('\n')}

## As a table

AGE is the time since the address was last claimed, and sizes beyond nine digits are rounded, such as 1.2e24. \`-o wide\` adds when and for
whom it is claimed, and what to do. Of [these objects](../${addressesFile}) it says:

\`\`\`text
${formats.table(list, addressesSeen).trimEnd()}
\`\`\`

## As JSON and YAML

An object of this form; fields may be added to \`meshvip.dev/v1\`, none is renamed or changes its type. \`size\`, \`free\` and \`reserved\` are
decimal strings and exact, since a pool of IPv6 has more addresses than a number of JSON can tell. \`pool\` and \`claim\`, and in it \`service\`
and \`claimedAt\`, are left out where there is none.

\`\`\`json
${formats.json(held).trimEnd()}
\`\`\`
`
}

const chartPage = (): string => `${header}
# The chart of meshvip

For Helm 3 and 4, and Kubernetes 1.33 or later. From a copy of this repository:

\`\`\`sh
docker build --tag REPOSITORY:TAG . && docker push REPOSITORY:TAG
helm install meshvip charts/meshvip --namespace meshvip --create-namespace --set image.repository=REPOSITORY,image.tag=TAG
\`\`\`

One installation a cluster: its webhook configurations, and all else, are named \`meshvip\` whatever the release is called. It refuses
kube-system and istio-system, whose objects no webhook is asked about.

The chart holds the two webhook configurations, the Secret of the self-managed certificate and the Lease as shells: the elected replica
fills them in, no manifest has the fields that it writes, and so no upgrade and no GitOps tool resets them ([GitOps](../../docs/gitops.md)).
\`helm uninstall\` deletes them like the rest. What stays are claims (\`kubectl get ipaddresses -l
ipaddress.kubernetes.io/managed-by=meshvip.dev\`), since Services go on using their addresses, and the Secrets that cert-manager made: delete
\`meshvip-tls\` before you go on to self-managed certificates.

Helm 4 deletes the webhook configurations first. Helm 3 deletes them last: from the moment that the Service is gone, for some tenths of a
second, what fails closed is refused. Where that matters, delete them before:

\`\`\`sh
kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration meshvip
\`\`\`

The same line turns everything off in an emergency, and for good until the next \`helm upgrade\`: no replica may make them again. (But for what
\`admissionPolicies.staticRules\` refuses: [break glass](../../docs/operations/break-glass.md).)

## Values

values.schema.json holds them, \`config\` too: a value that there is not is refused.

${chartValuesTable()}
`

/** Every generated page, by its path from the project's root. */
export const generatedPages = async (): Promise<Map<string, string>> => {
  const examples = await readExamples()
  const pages = new Map([
    ['docs/rules/README.md', rulesIndex()],
    ['docs/configuration.md', configurationPage()],
    ['docs/metrics.md', await metricsPage()],
    ['docs/addresses.md', await addressesPage()],
    ['docs/configuration.schema.json', `${JSON.stringify(configurationSchema, undefined, 2)}\n`],
    ['charts/meshvip/values.yaml', chartValues(' Made by `npm run docs`; change docs/chart.ts and not this file.')],
    [
      'charts/meshvip/files/static-rules.yaml',
      `${yamlHeader}${stringify(staticPolicy(), { lineWidth: 0, aliasDuplicateObjects: false })}`,
    ],
    ['charts/meshvip/values.schema.json', `${JSON.stringify(chartValuesSchema, undefined, 2)}\n`],
    ['charts/meshvip/README.md', chartPage()],
    ['src/examples.json', `${JSON.stringify(examples, undefined, 2)}\n`],
    ['docs/check-report.schema.json', `${JSON.stringify(checkReportSchema, undefined, 2)}\n`],
  ])
  for (const page of pagesOf(defaultPolicy, examples)) pages.set(`docs/rules/${page.id}.md`, rulePage(page))
  return pages
}
