import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../e2e/cluster.ts'
import { runTool } from '../testbed/chart-tools.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { installOptionalKinds, type Manifest, testChartOnControlPlane } from './chart.ts'
import { valueSets } from './value-sets.ts'

type Schema = { properties?: Record<string, Schema>; additionalProperties?: unknown } & Record<string, unknown>
type OpenAPI = { components: { schemas: Record<string, Schema> } }
type GroupVersionKind = { group: string; version: string; kind: string }

/** The schema, and all in it, without room for fields that it does not name. */
const strict = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(strict)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]))
  const isOpen = copy.additionalProperties !== undefined || copy['x-kubernetes-preserve-unknown-fields'] === true
  return copy.properties === undefined || isOpen ? copy : { ...copy, additionalProperties: false }
}

/** Writes a JSON Schema for each of the kinds, as the API server publishes them. */
const writeSchemas = async ({ kubectl }: ControlPlane, folder: string, manifests: Manifest[]): Promise<void> => {
  await mkdir(folder)
  for (const apiVersion of new Set(manifests.map((manifest) => manifest.apiVersion))) {
    const path = `/openapi/v3/${apiVersion.includes('/') ? 'apis' : 'api'}/${apiVersion}`
    // What CRDs say is published a moment after their kinds are served.
    let document = ''
    await until(async () => {
      const { code, stdout } = await kubectl(['get', '--raw', path])
      document = stdout
      return code === 0
    })
    const { components } = JSON.parse(document) as OpenAPI
    const schemas = strict(components.schemas) as OpenAPI['components']['schemas']
    for (const [name, schema] of Object.entries(schemas)) {
      for (const { group, version, kind } of (schema['x-kubernetes-group-version-kind'] as GroupVersionKind[]) ?? []) {
        if ([group, version].filter((part) => part !== '').join('/') !== apiVersion) continue
        // kubeconform takes the version of the core group for its name.
        const file = join(folder, `${kind.toLowerCase()}-${group || version}-${version}.json`)
        await writeFile(file, JSON.stringify({ $ref: `#/components/schemas/${name}`, components: { schemas } }))
      }
    }
  }
}

await testChartOnControlPlane('every field is one that the API server knows', async (t, chart, cluster) => {
  await installOptionalKinds(chart, cluster)
  const rendered = await Promise.all(Object.values(valueSets).map((values) => chart.render('helm4', values)))
  const schemas = join(chart.folder, 'schemas')
  await writeSchemas(cluster, schemas, rendered.flat())
  const location = `${schemas}/{{ .ResourceKind }}-{{ .Group }}-{{ .ResourceAPIVersion }}.json`
  const validate = async (manifests: Manifest[]) => {
    const file = join(chart.folder, 'manifests.json')
    await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }))
    const options = ['-strict', '-summary', '-output', 'json', '-schema-location', location]
    return runTool(chart.folder, chart.tools.kubeconform, [...options, file])
  }
  for (const [index, what] of Object.keys(valueSets).entries()) {
    const manifests = rendered[index] ?? []
    const { code, stdout } = await validate(manifests)
    t.equal(code, 0, what, { stdout })
    t.match(JSON.parse(stdout), { summary: { valid: manifests.length, invalid: 0, errors: 0, skipped: 0 } }, what)
  }
  for (const manifest of rendered.at(-1) ?? []) {
    const { stdout } = await validate([
      { ...manifest, metadata: { ...manifest.metadata, unheardOf: 'field' } } as Manifest,
    ])
    t.match(JSON.parse(stdout), { summary: { valid: 0, invalid: 1 } }, `${manifest.kind}: a field too many is seen`)
  }
})
