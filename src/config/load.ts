import { Ajv, type ErrorObject } from 'ajv'
import { LineCounter, parseDocument, visit } from 'yaml'
import { parseCidr } from '../api/address.ts'
import type { LabelSelector } from '../api/label-selector.ts'
import type { ReservedPort } from '../istio/ports.ts'
import type { Action } from '../rules/finding.ts'
import { rules } from '../rules/index.ts'
import { NamePattern } from '../rules/name-pattern.ts'
import { type DryRunPolicy, defaultPolicy, type Policy, type RuleActions } from '../rules/policy.ts'
import { createPool, overlaps, type WrittenPool } from '../vip/pools.ts'
import { configurationSchema } from './schema.ts'

/** The configuration as it is written; everything may be left out. */
type Configuration = {
  clusterDomain?: string
  foreignHosts?: string[]
  rootNamespace?: string
  virtualHosts?: Policy['virtualHosts']
  pools?: WrittenPool[]
  allowedExternalIPs?: string[]
  reservedPorts?: { port: number; use: string; by?: ReservedPort['by'] }[]
  dryRun?: Partial<Omit<DryRunPolicy, 'batchFieldManagers'>> & { batchFieldManagers?: string[] }
  rules?: WrittenActions
  namespaces?: { selector: LabelSelector; rules: WrittenActions }[]
  enforcement?: Policy['enforcement']
  exemptions?: { rules: string[]; namespaces?: string[]; names?: string[]; reason: string; expires?: string }[]
  docsURL?: string
}

/** Says where a configuration is wrong and what was expected there: `meshvip.yaml:3:5: rules.service-port-80: ...`. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
}

const isConfiguration = new Ajv({ strict: true, verbose: true }).compile<Configuration>(configurationSchema)

type Path = readonly (string | number)[]

type Expectation = { path: Path; problem: string }

/** What ajv found, as the path of the field and what was expected there. */
const expectation = (error: ErrorObject): Expectation => {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
  if (error.keyword === 'additionalProperties') {
    const { additionalProperty } = error.params as { additionalProperty: string }
    const known = Object.keys((error.parentSchema as { properties: object }).properties)
    return { path: [...path, additionalProperty], problem: `there is no such field; there are ${known.join(', ')}` }
  }
  if (error.keyword === 'enum') {
    const { allowedValues } = error.params as { allowedValues: readonly string[] }
    return { path, problem: `must be one of ${allowedValues.join(', ')}` }
  }
  return { path, problem: String(error.message) }
}

/** Of alternatives that all fail, the one that got furthest into the file is what was meant. */
const mostSpecific = (expectations: readonly Expectation[]): Expectation =>
  expectations.reduce((best, next) => (next.path.length > best.path.length ? next : best))

/** A field with nothing behind it, as when all of its lines are commented out, is as good as absent. */
const withoutNulls = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value).filter(
          ([name, field]) => field !== null || !Object.hasOwn(configurationSchema.properties, name),
        ),
      )
    : value

const formatPath = (path: Path): string =>
  path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('')

type WrittenActions = Record<string, Action | Partial<RuleActions>>

const readActions = (written: WrittenActions): ReadonlyMap<string, Partial<RuleActions>> =>
  new Map(
    Object.entries(written).map(([id, value]) => [
      id,
      typeof value === 'string' ? { virtualHost: value, other: value } : value,
    ]),
  )

const compileActions = (written: WrittenActions): Policy['actions'] => {
  const overrides = readActions(written)
  return new Map([...defaultPolicy.actions].map(([id, actions]) => [id, { ...actions, ...overrides.get(id) }]))
}

const compilePatterns = (written: readonly string[] = ['*']): NamePattern[] =>
  written.map((pattern) => new NamePattern(pattern))

const parseDay = (day: string): Date => {
  const date = new Date(`${day}T00:00:00Z`)
  // Date takes 30 February for 2 March.
  if (Number.isNaN(date.getTime()) || !date.toISOString().startsWith(day)) throw new Error(`${day} is no day`)
  return date
}

const compileRulePatterns = (written: readonly string[]): NamePattern[] => {
  const compiled = compilePatterns(written)
  const idle = compiled.findIndex((pattern) => !rules.some(({ id }) => pattern.test(id)))
  if (idle !== -1) throw new Error(`no rule is called ${written[idle]}`)
  return compiled
}

/**
 * Compiles the text of a configuration file into a Policy. Throws ConfigurationError, with the line and column where the file is
 * wrong. An empty file means the defaults.
 */
export const loadPolicy = (text: string, file: string): Policy => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const failAt = (offset: number, problem: string): never => {
    const { line, col } = lines.linePos(offset)
    throw new ConfigurationError(`${file}:${line}:${col}: ${problem}`)
  }
  const fail = (path: Path, problem: string): never => {
    // The value itself, or what it would stand in where it is missing.
    const range = [path, path.slice(0, -1)].map((at) => document.getIn(at, true) as { range?: [number] } | undefined)
    const offset = range.find((node) => node?.range !== undefined)?.range?.[0] ?? 0
    return failAt(offset, `${path.length === 0 ? '' : `${formatPath(path)}: `}${problem}`)
  }
  // A warning, too: of a tag that YAML 1.2 does not have, behind which the schema could not look.
  const [syntax] = [...document.errors, ...document.warnings]
  if (syntax !== undefined) failAt(syntax.pos[0], String(syntax.message.split('\n', 1)[0]))
  if (document.directives?.yaml.version !== '1.2') failAt(0, 'write it in YAML 1.2, without a %YAML directive')
  const anchors = new Set<string>()
  visit(document, {
    // Sets, ordered maps and the like are no plain values: the schema would look past them.
    Value: (_key, { anchor, tag, range }) => {
      if (anchor !== undefined) anchors.add(anchor)
      if (tag !== undefined) failAt(Number(range?.[0]), `the tag ${tag} has no meaning here`)
    },
    Alias: (_key, alias) => {
      // By a list of our own: to resolve each would be to look through the file as often.
      if (!anchors.has(alias.source)) failAt(Number(alias.range?.[0]), `no anchor &${alias.source} stands before it`)
    },
  })
  let written: unknown
  try {
    written = withoutNulls(document.toJS() ?? {})
  } catch (error) {
    // More aliases than any file has that was written by a person.
    return fail([], (error as Error).message)
  }
  if (!isConfiguration(written)) {
    const { path, problem } = mostSpecific((isConfiguration.errors as ErrorObject[]).map(expectation))
    return fail(path, problem)
  }
  const at = <T>(path: Path, make: () => T): T => {
    try {
      return make()
    } catch (error) {
      return fail(path, (error as Error).message)
    }
  }
  const pools = written.pools?.map((pool, index) => {
    const { cidr, exclude = [] } = pool
    at(['pools', index, 'cidr'], () => createPool({ cidr }))
    for (const [part, text] of exclude.entries())
      at(['pools', index, 'exclude', part], () => createPool({ cidr, exclude: [text] }))
    return at(['pools', index, 'exclude'], () => createPool(pool))
  })
  pools?.forEach((pool, index) => {
    const other = pools.slice(0, index).find((before) => overlaps(before, pool))
    if (other !== undefined) fail(['pools', index, 'cidr'], `${pool.cidr} overlaps the pool ${other.cidr}`)
  })
  return Object.freeze({
    clusterDomain: written.clusterDomain ?? defaultPolicy.clusterDomain,
    foreignHosts: written.foreignHosts ?? defaultPolicy.foreignHosts,
    rootNamespace: written.rootNamespace ?? defaultPolicy.rootNamespace,
    virtualHosts: written.virtualHosts ?? defaultPolicy.virtualHosts,
    pools: pools ?? defaultPolicy.pools,
    allowedExternalIPs: (written.allowedExternalIPs ?? []).map((cidr, index) =>
      at(['allowedExternalIPs', index], () => parseCidr(cidr)),
    ),
    reservedPorts:
      written.reservedPorts === undefined
        ? defaultPolicy.reservedPorts
        : new Map(written.reservedPorts.map(({ port, use, by = 'sidecar' }) => [port, { use, by }])),
    dryRun: {
      missing: written.dryRun?.missing ?? defaultPolicy.dryRun.missing,
      mismatch: written.dryRun?.mismatch ?? defaultPolicy.dryRun.mismatch,
      batchFieldManagers:
        written.dryRun?.batchFieldManagers === undefined
          ? defaultPolicy.dryRun.batchFieldManagers
          : new Set(written.dryRun.batchFieldManagers),
    },
    actions: compileActions(written.rules ?? {}),
    namespaceActions: (written.namespaces ?? []).map(({ selector, rules }) => ({
      selector,
      actions: readActions(rules),
    })),
    enforcement: written.enforcement ?? defaultPolicy.enforcement,
    exemptions: (written.exemptions ?? []).map(({ rules, namespaces, names, reason, expires }, index) => ({
      rules: at(['exemptions', index, 'rules'], () => compileRulePatterns(rules)),
      namespaces: compilePatterns(namespaces),
      names: compilePatterns(names),
      reason,
      expires: expires === undefined ? undefined : at(['exemptions', index, 'expires'], () => parseDay(expires)),
    })),
    docsURL: written.docsURL?.replace(/\/$/, '') ?? defaultPolicy.docsURL,
  } satisfies Policy)
}
