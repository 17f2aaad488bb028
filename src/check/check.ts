import type { Kind, KnownObject } from '../api/kinds.ts'
import { formatName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { type Document, documentsOf, type Path, type Place, positionsOf, stepsOf } from '../manifests/documents.ts'
import { type Located, type NearMiss, objectsOf } from '../manifests/objects.ts'
import type { Source, Unreadable } from '../manifests/sources.ts'
import { type Circumstances, judgeService, judgeVirtualService, type Outcome } from '../rules/judge.ts'
import type { Policy } from '../rules/policy.ts'
import { ObjectStore } from '../view/object-store.ts'
import type { ClusterView } from '../view/view.ts'
import { askOverlaid, readPresent, withPresent } from './live.ts'
import { manifestDuplicate, manifestKind } from './manifest-rules.ts'

/** What comes of a finding: a denial in the cluster, a warning, or a line in its log. */
export type Severity = 'error' | 'warning' | 'note'

/** A finding, the object that it is in, and where that says so. */
export type Issue = Place &
  Pick<Outcome, 'rule' | 'field' | 'about' | 'problem' | 'reason' | 'fix' | 'note'> & {
    severity: Severity
    source: string
    /** `VirtualService shop/orders` */
    object: string
  }

export type Report = {
  issues: readonly Issue[]
  /** What could not be read, and so was not checked. */
  unreadable: readonly Unreadable[]
  /** All that was read, in its order, and the Services and VirtualServices in each, whether or not there is anything wrong with them. */
  sources: readonly { name: string; objects: readonly string[] }[]
  /** How many objects there were that rules know, and how many of them are Services and VirtualServices. */
  objects: number
  judged: number
}

export type CheckOptions = {
  policy: Policy
  /** Where objects are that say no namespace. */
  namespace: string
  /** Whether a namespace that is not among the manifests belongs to the mesh. */
  unlistedNamespacesSelected: boolean
  /** Whether there is nothing but what was given: what is not there is missing then, and unknown otherwise. */
  complete: boolean
  /** The cluster to which the manifests are to be applied. What is neither there nor given is missing. */
  live?: { client: KubernetesClient; signal: AbortSignal }
  /** Told now and then what is being done. */
  onProgress?(what: string): void
}

export const severities: { readonly [A in Outcome['action']]: Severity } = {
  deny: 'error',
  warn: 'warning',
  audit: 'note',
}

const rank: readonly Severity[] = ['note', 'warning', 'error']

/** Whether a severity is another one, or a graver one. */
export const isAtLeast = (severity: Severity, least: Severity): boolean => rank.indexOf(severity) >= rank.indexOf(least)

type Unplaced = {
  located: { document: Document; path: Path }
  issue: Omit<Issue, 'source' | keyof Place>
}

const nameOf = ({ kind, object }: KnownObject): string => `${kind} ${formatName(object)}`

const nearMissIssue = (nearMiss: NearMiss): Unplaced => ({
  located: nearMiss,
  issue: {
    severity: 'warning',
    object: 'manifest',
    rule: manifestKind.id,
    field: 'kind',
    about: nearMiss.problem,
    problem: nearMiss.problem,
    reason: 'the API server refuses it, and nobody has checked what is in it',
    fix: nearMiss.fix,
  },
})

/** What has the name of one before it, of which there is but one in a cluster. */
const duplicateIssues = (located: readonly Located[]): Unplaced[] => {
  const named = located.filter(({ known }) => known.object.name !== '')
  return [...Map.groupBy(named, ({ known }) => nameOf(known))].flatMap(([object, [first, ...others]]) => {
    const { source, line } = (first as Located).document
    return others.map(
      (located): Unplaced => ({
        located,
        issue: {
          severity: 'warning',
          object,
          rule: manifestDuplicate.id,
          field: 'metadata.name',
          about: source.name,
          problem: `${object} is already in the document at ${source.name}:${line}`,
          reason: 'there is but one in a cluster, and what is applied last replaces what was applied before',
          fix: 'remove one of them, or check what is for another cluster by itself',
        },
      }),
    )
  })
}

/** `present` is what has its name now. */
const outcomesOf = (
  { known }: Located,
  present: KnownObject | undefined,
  circumstances: Circumstances,
): readonly Outcome[] => {
  if (known.kind === 'Service') {
    if (present?.kind !== 'Service') return judgeService(known.object, undefined, circumstances).outcomes
    const view = withPresent(circumstances.view, present.object)
    return judgeService(known.object, present.object, { ...circumstances, view }).outcomes
  }
  if (known.kind === 'VirtualService') {
    const before = present?.kind === 'VirtualService' ? present.object : undefined
    return judgeVirtualService(known.object, before, circumstances).outcomes
  }
  return []
}

const isJudged = ({ kind }: KnownObject): boolean => kind === 'Service' || kind === 'VirtualService'

/** What the rules say of an object: as the webhook does, but for what mutation does first, and what nobody can know from here. */
const judge = (
  located: Located,
  present: KnownObject | undefined,
  view: ClusterView,
  { policy, complete }: Pick<CheckOptions, 'policy' | 'complete'>,
): Unplaced[] => {
  const circumstances = { view, policy, dryRun: false, batch: false, claimed: false, now: new Date() }
  return outcomesOf(located, present, circumstances)
    .filter(({ fromMutation, missing }) => !fromMutation && (complete || !missing))
    .map(({ action, rule, field, about, problem, reason, fix, note }) => ({
      located,
      issue: {
        severity: severities[action],
        object: nameOf(located.known),
        rule,
        field,
        about,
        problem,
        reason,
        fix,
        ...(note === undefined ? {} : { note }),
      },
    }))
}

const judgeAll = async (located: readonly Located[], options: CheckOptions): Promise<Unplaced[]> => {
  const { live, unlistedNamespacesSelected, policy } = options
  const { clusterDomain } = policy
  const objects = located.map(({ known }) => known)
  if (live !== undefined) {
    const { client, signal } = live
    const present = await readPresent(objects, { client, clusterDomain }, signal)
    const question = (view: ClusterView) =>
      located.flatMap((one, index) => judge(one, present[index], view, { policy, complete: true }))
    return askOverlaid(objects, { client, clusterDomain, unlistedNamespacesSelected }, question, signal)
  }
  const store = new ObjectStore({ clusterDomain, unlistedNamespacesSelected })
  for (const object of objects) store.put(object)
  // Of what is not all there is, nothing is missing on account of its not being found.
  const known = options.complete ? options : { complete: false, policy: { ...policy, foreignHosts: ['*'] } }
  return located.flatMap((one) => judge(one, undefined, store, known))
}

/** Gives each issue its place; a document is read again for that only where it has one. */
const place = (unplaced: readonly Unplaced[]): Issue[] =>
  [...Map.groupBy(unplaced, ({ located }) => located.document)].flatMap(([document, issues]) => {
    const places = positionsOf(
      document,
      issues.map(({ located, issue }) => [...located.path, ...stepsOf(issue.field)]),
    )
    return issues.map(
      ({ issue }, index): Issue => ({
        ...issue,
        source: document.source.name,
        ...(places[index] as Place),
      }),
    )
  })

const byPlace = (a: Issue, b: Issue): number =>
  a.position.line - b.position.line || a.position.column - b.position.column

/** Claims and Endpoints are made by controllers; in manifests they mean nothing. */
const passedOver: readonly Kind[] = ['IPAddress', 'Endpoints']

/** Judges all that the sources have in them. */
export const check = async (sources: AsyncIterable<Source | Unreadable>, options: CheckOptions): Promise<Report> => {
  const located: Located[] = []
  const unplaced: Unplaced[] = []
  const unreadable: Unreadable[] = []
  const order: string[] = []
  for await (const source of sources) {
    order.push('name' in source ? source.name : source.source)
    if (!('name' in source)) {
      unreadable.push(source)
      continue
    }
    for (const document of documentsOf(source)) {
      options.onProgress?.(`reading: ${located.length} objects`)
      const found = objectsOf(document, options.namespace)
      located.push(...found.objects.filter(({ known }) => !passedOver.includes(known.kind)))
      unplaced.push(...found.nearMisses.map(nearMissIssue))
      unreadable.push(...found.unreadable)
    }
  }
  unplaced.push(...duplicateIssues(located))
  unplaced.push(...(await judgeAll(located, options)))
  const bySource = Map.groupBy(place(unplaced), ({ source }) => source)
  const judged = located.filter(({ known }) => isJudged(known))
  const judgedBySource = Map.groupBy(judged, ({ document }) => document.source.name)
  const names = [...new Set(order)]
  return {
    issues: names.flatMap((name) => (bySource.get(name) ?? []).sort(byPlace)),
    unreadable,
    sources: names.map((name) => ({
      name,
      objects: (judgedBySource.get(name) ?? []).map(({ known }) => nameOf(known)),
    })),
    objects: located.length,
    judged: judged.length,
  }
}
