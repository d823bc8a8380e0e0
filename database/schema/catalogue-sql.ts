import { ROLES } from './migrate.ts';

/**
 * Reads from the catalogue everything that can change the contents or the meaning of the engine's tables, as lines of
 * text. The lines are the same on PostgreSQL 14 to 18, whichever user migrated. Built-in functions only; needs
 * `search_path = pg_catalog, pg_temp`.
 */

/**
 * The name of a role. The migrating user owns everything that no role of the engine's owns. Its name differs from place
 * to place, so it is `$owner`, and no other role is written so.
 */
const who = (role: string): string =>
  `case ${role} when 0 then 'public' when (select owner from us) then '$owner' else quote_ident(pg_get_userbyid(${role})) end`;

const name = (schema: string, own: string): string => `quote_ident(${schema}) || '.' || quote_ident(${own})`;
const digest = (text: string): string => `left(encode(sha256(convert_to(${text}, 'UTF8')), 'hex'), 32)`;
/** Long texts are shown by their beginning and their hash. */
const brief = (text: string): string =>
  `case when length(${text}) <= 300 then ${text} else left(${text}, 200) || '… ' || ${digest(text)} end`;
const words = (...parts: readonly string[]): string => `concat_ws(', ', ${parts.join(', ')})`;
const when = (condition: string, word: string): string => `case when ${condition} then '${word}' end`;
const choose = (value: string, options: Readonly<Record<string, string>>): string =>
  `case ${value}::text ${Object.entries(options)
    .map(([key, word]) => `when '${key}' then '${word}'`)
    .join(' ')} else ${value}::text end`;

/** Objects that PostgreSQL itself makes have lower numbers. */
const isMade = (oid: string): string => `${oid} >= 16384`;
/**
 * Objects in the schemas that have the engine's tables, or where its names are looked up. Other schemas of the database
 * are listed as a fact: nothing in them is used, except the objects that have lines of their own below.
 */
const isOurs = (oid: string, schema: string): string =>
  `(${isMade(oid)} and ${schema} in ('engine', 'ledger', 'pg_catalog', 'information_schema'))`;

/** A role with rights over the engine's tables. */
const isPowerful = (role: string): string =>
  `(${role} in (select owner from us) or ${role} in (select oid from ours) or (select r.rolsuper from pg_roles r where r.oid = ${role})
    or exists (select from ours o where o.is_inner and pg_has_role(${role}, o.oid, 'usage')))`;

/** A trigger `t` or `g` by which PostgreSQL itself keeps a foreign key, and not one that only has such a name. */
const OF_A_KEY = `(tgisinternal and tgconstraint <> 0 and tgfoid in (
  select f.oid from pg_proc f where f.pronamespace = 'pg_catalog'::regnamespace and f.proname ~ '^RI_FKey_' and not ${isMade('f.oid')}))`;

const RELATION = name('n.nspname', 'c.relname');
const KIND = choose('c.relkind', {
  r: 'table',
  p: 'partitioned table',
  v: 'view',
  m: 'materialized view',
  S: 'sequence',
  f: 'foreign table',
  i: 'index',
  I: 'index',
  c: 'type',
});
const FUNCTION = `${name('n.nspname', 'p.proname')} || '(' || pg_get_function_identity_arguments(p.oid) || ')'`;

/**
 * The text of a view differs between versions in how columns are qualified and in white space: it is compared without
 * both, and with the tables that it reads.
 */
const VIEW = `concat('text ', ${digest(
  `regexp_replace(regexp_replace(pg_get_viewdef(c.oid), '\\m[a-z_]+\\.(?=[a-z_"])', '', 'g'), '[\\s()]+', '', 'g')`,
)}, ' on ', (select string_agg(distinct x.refobjid::regclass::text, ', ' order by x.refobjid::regclass::text)
  from pg_rewrite w join pg_depend x on x.classid = 'pg_rewrite'::regclass and x.objid = w.oid and x.refclassid = 'pg_class'::regclass
 where w.ev_class = c.oid and x.refobjid <> c.oid))`;

/** Settings of time limits and of the log, and those that a pooler needs (docs/guides/deployment.md). */
const HARMLESS = `^(log_[^=]*|jit|auto_explain\\.[^=]*|[^=]*_timeout|timezone|datestyle|application_name|search_path=engine, ?pg_temp|default_transaction_isolation=read committed)(=|$)`;

const grant = (to: string, object: string): string => `
  select 'grant ' || lower(a.privilege_type) || ' on ' || ${object} || ' to ' || ${who('a.grantee')} ||
         case when a.is_grantable then ' with grant option' else '' end ${to}`;
const acl = (column: string, kind: string, owner: string): string =>
  `cross join aclexplode(coalesce(${column}, acldefault('${kind}', ${owner}))) a`;

/** Each is a statement that returns lines. */
const LINES: readonly string[] = [
  `select 'schema ' || quote_ident(n.nspname) || ': owner ' || ${who('n.nspowner')} from pg_namespace n
    where ${isOurs('n.oid', 'n.nspname')}`,
  // Relations and their parts.
  `select ${KIND} || ' ' || ${RELATION} || ': ' || ${words(
    `'owner ' || ${who('c.relowner')}`,
    when(`c.relpersistence <> 'p'`, 'not permanent'),
    `(select 'kept by ' || m.amname from pg_am m where m.oid = c.relam and m.amname not in ('heap', 'btree'))`,
    when('c.relrowsecurity', 'row security on'),
    when('c.relforcerowsecurity', 'row security forced'),
    `'inherited by ' || (select string_agg(i.inhrelid::regclass::text, ' and ') from pg_inherits i where i.inhparent = c.oid)`,
    // Rights on the parent are rights on this one.
    `'inherits from ' || (select string_agg(i.inhparent::regclass::text, ' and ') from pg_inherits i where i.inhrelid = c.oid)`,
    `array_to_string(c.reloptions, ', ')`,
    `(select concat('from ', seqmin, ' to ', seqmax, ' by ', seqincrement, case when seqcycle then ' and over again' end)
       from pg_sequence s where s.seqrelid = c.oid)`,
    `case when c.relkind in ('v', 'm') then ${VIEW} end`,
  )} from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where ${isOurs('c.oid', 'n.nspname')} and c.relkind not in ('i', 'I', 't')`,
  `select 'column ' || ${RELATION} || '.' || quote_ident(t.attname) || ': ' || ${words(
    `format_type(t.atttypid, t.atttypmod)`,
    when('t.attnotnull', 'not null'),
    `(select 'collate ' || quote_ident(l.collname) from pg_collation l join pg_type y on y.oid = t.atttypid
       where l.oid = t.attcollation and l.oid <> y.typcollation)`,
    `case t.attidentity when 'a' then 'identity' when 'd' then 'identity unless given' end`,
    `(select case when t.attgenerated = '' then 'default ' else 'generated ' end || pg_get_expr(d.adbin, d.adrelid)
       from pg_attrdef d where d.adrelid = t.attrelid and d.adnum = t.attnum)`,
  )} from pg_attribute t join pg_class c on c.oid = t.attrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOurs('c.oid', 'n.nspname')} and c.relkind in ('r', 'p', 'f', 'c') and t.attnum > 0 and not t.attisdropped`,
  // PostgreSQL 18 lists NOT NULL here too. The triggers behind a foreign key are its own.
  `select 'constraint ' || quote_ident(o.conname) || ' on ' || coalesce(nullif(o.conrelid, 0)::regclass::text, o.contypid::regtype::text) ||
          ': ' || ${words(
            brief('pg_get_constraintdef(o.oid)'),
            `(select 'kept by ' || count(*) filter (where tgenabled = 'O' and ${OF_A_KEY}) || ' triggers' ||
               coalesce(', ' || nullif(count(*) filter (where tgenabled <> 'O'), 0) || ' switched off', '')
               from pg_trigger g where g.tgconstraint = o.oid having o.contype = 'f')`,
          )} from pg_constraint o join pg_namespace n on n.oid = o.connamespace
    where ${isOurs('o.oid', 'n.nspname')} and o.contype not in ('n', 't')`,
  `select 'index ' || ${RELATION} || ': ' || ${words(
    brief('pg_get_indexdef(i.indexrelid)'),
    when('not i.indisvalid', 'not valid'),
    when('not i.indisready or not i.indislive', 'not kept up'),
    when('not i.indimmediate', 'deferred'),
  )} from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOurs('i.indrelid', 'n.nspname')}`,
  `select 'trigger ' || quote_ident(t.tgname) || ' on ' || t.tgrelid::regclass || ': ' || ${words(
    choose('t.tgenabled', { O: 'on', D: 'switched off', R: 'on in replicas only', A: 'on in replicas too' }),
    brief('pg_get_triggerdef(t.oid)'),
  )} from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOurs('t.oid', 'n.nspname')} and not ${OF_A_KEY}`,
  `select 'rule ' || quote_ident(w.rulename) || ' on ' || w.ev_class::regclass || ': ' || ${words(
    choose('w.ev_enabled', { O: 'on', D: 'switched off' }),
    brief('pg_get_ruledef(w.oid)'),
  )} from pg_rewrite w join pg_class c on c.oid = w.ev_class join pg_namespace n on n.oid = c.relnamespace
    where ${isOurs('w.oid', 'n.nspname')} and w.rulename <> '_RETURN'`,
  // A view and a rule reach tables with the rights of the owner, whichever schema they are in.
  `select ${KIND} || ' ' || ${RELATION} || ': owner ' || ${who('c.relowner')} || ', reaches ' ||
          string_agg(distinct x.refobjid::regclass::text, ' and ' order by x.refobjid::regclass::text)
     from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_rewrite w on w.ev_class = c.oid
     join pg_depend x on x.classid = 'pg_rewrite'::regclass and x.objid = w.oid and x.refclassid = 'pg_class'::regclass
     join pg_class o on o.oid = x.refobjid join pg_namespace m on m.oid = o.relnamespace
    where not ${isOurs('c.oid', 'n.nspname')} and c.relpersistence <> 't' and ${isOurs('o.oid', 'm.nspname')} and ${isPowerful('c.relowner')}
    group by c.relkind, n.nspname, c.relname, c.relowner`,
  `select 'policy ' || quote_ident(p.polname) || ' on ' || p.polrelid::regclass || ': ' || ${words(
    `p.polcmd::text`,
    when('not p.polpermissive', 'restrictive'),
    `(select string_agg(${who('r')}, ' and ') from unnest(p.polroles) r)`,
    brief('pg_get_expr(p.polqual, p.polrelid)'),
    brief('pg_get_expr(p.polwithcheck, p.polrelid)'),
  )} from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOurs('p.oid', 'n.nspname')}`,
  `select 'event trigger ' || quote_ident(e.evtname) || ': ' || concat_ws(' ', e.evtenabled::text, e.evtevent, e.evtfoid::regprocedure)
     from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid join pg_language l on l.oid = p.prolang
    where l.lanname <> 'c' or not exists (
       select from pg_depend x where x.classid = 'pg_event_trigger'::regclass and x.objid = e.oid and x.deptype = 'e')`,
  // Functions of our schemas; of other schemas those that run with rights over the engine's tables.
  `select ${choose('p.prokind', { f: 'function', p: 'procedure', a: 'aggregate', w: 'window function' })} || ' ' || ${FUNCTION} || ': ' || ${words(
    `'owner ' || ${who('p.proowner')}`,
    `'returns ' || pg_get_function_result(p.oid)`,
    `l.lanname`,
    when('p.prosecdef', 'as its owner'),
    choose('p.provolatile', { v: 'volatile', s: 'stable', i: 'immutable' }),
    `case p.proparallel when 'u' then null else 'parallel ' || p.proparallel::text end`,
    when('p.proisstrict', 'strict'),
    when('p.proleakproof', 'leakproof'),
    `'set ' || array_to_string(array(select c from unnest(p.proconfig) c order by c), ' and ')`,
    `'support ' || nullif(p.prosupport, 0)::regprocedure`,
    `'arguments ' || nullif(pg_get_function_arguments(p.oid), pg_get_function_identity_arguments(p.oid))`,
    `'text ' || ${digest(`concat(p.prosrc, p.probin, case when p.prokind <> 'a' then pg_get_function_sqlbody(p.oid) end)`)}`,
  )} from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where ${isOurs('p.oid', 'n.nspname')} or ${isMade('p.oid')} and p.prosecdef
      and ${isPowerful('p.proowner')}`,
  `select ${choose('y.typtype', { d: 'domain', e: 'enum', r: 'range', m: 'range', b: 'type', p: 'type' })} || ' ' || ${name('n.nspname', 'y.typname')} || ': ' || ${words(
    `'owner ' || ${who('y.typowner')}`,
    `nullif(format_type(y.typbasetype, y.typtypmod), '-')`,
    when('y.typnotnull', 'not null'),
    `'default ' || y.typdefault`,
    `(select 'collate ' || quote_ident(l.collname) from pg_collation l where l.oid = y.typcollation and l.collname <> 'default')`,
    `(select string_agg(e.enumlabel, ' ' order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid)`,
  )} from pg_type y join pg_namespace n on n.oid = y.typnamespace
    where ${isOurs('y.oid', 'n.nspname')} and y.typtype <> 'c' and not (y.typtype = 'b' and y.typelem <> 0)`,
  // Objects that could change the meaning of built-in ones. None is ours.
  `select 'cast ' || format_type(k.castsource, null) || ' to ' || format_type(k.casttarget, null) || ': ' ||
          coalesce(nullif(k.castfunc, 0)::regprocedure::text, 'as it is') || ', ' || k.castcontext::text
     from pg_cast k join pg_type s on s.oid = k.castsource join pg_type t on t.oid = k.casttarget
    where ${isMade('k.oid')} and (not ${isMade('s.oid')} and not ${isMade('t.oid')} or not exists (
       select from pg_depend x where x.classid = 'pg_cast'::regclass and x.objid = k.oid and x.deptype = 'e'))`,
  `select 'operator ' || o.oid::regoperator || ': owner ' || ${who('o.oprowner')} || ', ' || o.oprcode::regprocedure
     from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where ${isOurs('o.oid', 'n.nspname')}`,
  `select 'operator class ' || ${name('n.nspname', 'o.opcname')} || ': owner ' || ${who('o.opcowner')}
     from pg_opclass o join pg_namespace n on n.oid = o.opcnamespace where ${isOurs('o.oid', 'n.nspname')}`,
  `select 'collation ' || ${name('n.nspname', 'o.collname')} || ': owner ' || ${who('o.collowner')}
     from pg_collation o join pg_namespace n on n.oid = o.collnamespace
    where ${isOurs('o.oid', 'n.nspname')}`,
  `select 'language ' || quote_ident(l.lanname) || ': owner ' || ${who('l.lanowner')} from pg_language l
    where ${isMade('l.oid')} and not exists (select from pg_depend x where x.classid = 'pg_language'::regclass and x.objid = l.oid and x.deptype = 'e')`,
  `select 'subscription ' || quote_ident(s.subname) || ': owner ' || ${who('s.subowner')} from pg_subscription s
    where s.subdbid = (select oid from pg_database where datname = current_database())`,
  `select 'default privileges of ' || ${who('d.defaclrole')} || ${choose('d.defaclobjtype', { r: ' for tables', S: ' for sequences', f: ' for functions', T: ' for types', n: ' for schemas', L: ' for large objects' })} ||
          coalesce(' in ' || d.defaclnamespace::regnamespace, '') || ': ' || coalesce((select string_agg(distinct ${who('a.grantee')} || ' ' || lower(a.privilege_type), ', ')
            from aclexplode(d.defaclacl) a where a.privilege_type <> 'MAINTAIN'), 'none')
     from (select x.defaclrole, x.defaclobjtype, nullif(x.defaclnamespace, 0) as defaclnamespace, x.defaclacl from pg_default_acl x
            where x.defaclrole in (select owner from us) or x.defaclrole in (select oid from ours)
               or x.defaclnamespace in ('engine'::regnamespace, 'ledger'::regnamespace)) d`,
  // Roles belong to the whole server: only those of the engine, and others that reach into this database.
  `select 'role ' || r.rolname || ': ' || ${words(
    `case when r.rolcanlogin then 'login' else 'no login' end`,
    when('r.rolsuper', 'superuser'),
    when('r.rolcreaterole', 'makes roles'),
    when('r.rolcreatedb', 'makes databases'),
    when('r.rolreplication', 'replicates'),
    when('r.rolbypassrls', 'passes row security'),
    when('not r.rolinherit', 'inherits nothing'),
  )} from pg_roles r join ours o on o.oid = r.oid`,
  // Members: the engine's roles in any role, and any other role in those that own or post. The migrating user, here or
  // in another database of the server, has to be a member of those.
  `select 'member ' || ${who('m.member')} || ' of ' || pg_get_userbyid(m.roleid) || case when bool_or(m.admin_option) then ' with admin option' else '' end
     from pg_auth_members m
    where m.member in (select oid from ours)
       or m.roleid in (select oid from ours o where o.is_inner) and m.member <> (select owner from us)
          and not exists (select from pg_roles r where r.oid = m.member and (r.rolsuper or r.rolcreaterole))
          and not exists (select from pg_database d where d.datdba = m.member)
    group by m.member, m.roleid`,
  `select 'setting ' || case s.setrole when 0 then 'of everybody' else 'of ' || ${who('s.setrole')} end ||
          case s.setdatabase when 0 then '' else ' here' end || ': ' || c
     from pg_db_role_setting s cross join unnest(s.setconfig) c
    where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and (s.setrole in (select oid from ours) or s.setrole in (0, (select owner from us))) and c !~* '${HARMLESS}'`,
  // A member of one of these can write every table, or the server's files.
  `select 'member ' || ${who('m.member')} || ' of ' || r.rolname
     from pg_auth_members m join pg_roles r on r.oid = m.roleid join pg_roles w on w.oid = m.member
    where r.rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program') and not w.rolsuper
      and m.member not in (select oid from ours) group by m.member, r.rolname`,
  // Extended statistics, of any owner: the table's owner runs them whenever the server gathers statistics.
  `select 'statistics ' || ${name('n.nspname', 's.stxname')} || ' on ' || s.stxrelid::regclass || ': owner ' || ${who('s.stxowner')}
     from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace join pg_class c on c.oid = s.stxrelid join pg_namespace m on m.oid = c.relnamespace
    where ${isOurs('s.stxrelid', 'm.nspname')}`,
  // No trigger of ours fires in such a session, and this may be every session.
  `select 'setting of the server: session_replication_role=' || current_setting('session_replication_role')
    where current_setting('session_replication_role') <> 'origin'`,
  // Grants, except the owner's own.
  grant(
    `from pg_namespace n ${acl('n.nspacl', 'n', 'n.nspowner')}
      where ${isOurs('n.oid', 'n.nspname')} and a.grantee <> n.nspowner`,
    `'schema ' || quote_ident(n.nspname)`,
  ),
  grant(
    `from pg_class c join pg_namespace n on n.oid = c.relnamespace
       cross join aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) a
      where ${isOurs('c.oid', 'n.nspname')} and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        and a.grantee <> c.relowner and a.privilege_type <> 'MAINTAIN'`,
    RELATION,
  ),
  grant(
    `from pg_attribute t join pg_class c on c.oid = t.attrelid join pg_namespace n on n.oid = c.relnamespace
       cross join aclexplode(t.attacl) a
      where ${isOurs('c.oid', 'n.nspname')} and a.grantee <> c.relowner and not t.attisdropped`,
    `${RELATION} || '.' || quote_ident(t.attname)`,
  ),
  grant(
    `from pg_proc p join pg_namespace n on n.oid = p.pronamespace ${acl('p.proacl', 'f', 'p.proowner')}
      where ${isOurs('p.oid', 'n.nspname')} and a.grantee <> p.proowner`,
    `'function ' || ${FUNCTION}`,
  ),
  grant(
    `from pg_type y join pg_namespace n on n.oid = y.typnamespace cross join aclexplode(y.typacl) a
      where ${isOurs('y.oid', 'n.nspname')} and a.grantee not in (0, y.typowner)`,
    `'type ' || ${name('n.nspname', 'y.typname')}`,
  ),
  grant(
    `from pg_database d ${acl('d.datacl', 'd', 'd.datdba')}
      where d.datname = current_database() and a.privilege_type = 'CREATE' and a.grantee not in (d.datdba, (select owner from us))
        and a.grantee not in (select oid from ours where rolname = 'ledger_owner')`,
    `'the database'`,
  ),
];

/**
 * Grants to everybody or to a role of ours on objects that PostgreSQL itself made, and that were not there at first.
 */
const builtIn = (catalogue: string, letter: string, object: string): string =>
  grant(
    `from ${catalogue} ${letter} join pg_namespace n on n.oid = ${letter}.${catalogue === 'pg_class' ? 'relnamespace' : 'pronamespace'}
       cross join aclexplode(${letter}.${catalogue === 'pg_class' ? 'relacl' : 'proacl'}) a
      where not ${isMade(`${letter}.oid`)} and n.nspname = 'pg_catalog' and (a.grantee = 0 or a.grantee in (select oid from ours)) and a.privilege_type <> 'MAINTAIN'
        and not exists (
          select from pg_init_privs i cross join aclexplode(i.initprivs) b
           where i.classoid = '${catalogue}'::regclass and i.objoid = ${letter}.oid and i.objsubid = 0
             and (b.grantee, b.privilege_type) = (a.grantee, a.privilege_type))`,
    object,
  );

/** Grants on parameters: with one, a role may switch triggers off. Since PostgreSQL 15. */
const PARAMETERS = grant(
  `from pg_parameter_acl p cross join aclexplode(p.paracl) a
    where a.grantee = 0 or exists (select from ours o where pg_has_role(o.oid, a.grantee, 'member'))`,
  `'parameter ' || p.parname`,
);

/**
 * `us`: the migrating user; `ours`: the engine's roles; `is_inner`: those that own, post or decide, not the logins and
 * readers.
 */
const WITH = `with us as (select nspowner as owner from pg_namespace where nspname = 'engine'),
  ours as (select oid, rolname, rolname ~ '_(owner|poster|decider)$' as is_inner from pg_roles
            where rolname in (${ROLES.map((role) => `'${role}'`).join(', ')}))`;

/** Returns the SQL of `line`, in one order on every server. */
export const catalogueSql = (serverVersion: number): string => {
  const all = [
    ...LINES,
    builtIn('pg_class', 'c', RELATION),
    builtIn('pg_proc', 'p', `'function ' || ${FUNCTION}`),
    ...(serverVersion >= 150_000 ? [PARAMETERS] : []),
  ];
  return `${WITH} select line from (${all.join('\n union all ')}) x(line) order by line collate "C"`;
};

/** The SQL of `fact`: properties that differ from place to place and should be known. */
export const FACTS = `${WITH}
  select fact from (
  select 'superusers, who may do anything: ' || string_agg(rolname, ', ' order by rolname) as fact from pg_roles where rolsuper and rolcanlogin
  union all
  select 'may act as ' || pg_get_userbyid(m.roleid) || ': ' || string_agg(distinct pg_get_userbyid(m.member), ', ')
    from pg_auth_members m where m.roleid in (select oid from ours) and m.member not in (select oid from ours) group by m.roleid
  union all
  select 'owner of the schema engine: ' || pg_get_userbyid(owner) from us
  union all
  select 'owner of the database: ' || pg_get_userbyid(datdba) from pg_database where datname = current_database()
  union all
  select 'may read every table: ' || string_agg(pg_get_userbyid(m.member)::text, ', ' order by pg_get_userbyid(m.member)) from pg_auth_members m
   where m.roleid = (select oid from pg_roles where rolname = 'pg_read_all_data') and m.member not in (select oid from ours)
  union all
  select 'other schemas, of which nothing is used: ' || string_agg(nspname, ', ' order by nspname) from pg_namespace n
   where ${isMade('oid')} and nspname not in ('engine', 'ledger') and nspname !~ '^pg_'
  union all
  select 'extensions: ' || string_agg(extname || ' ' || extversion, ', ' order by extname) from pg_extension where extname <> 'plpgsql'
  union all
  select 'published: ' || string_agg(pubname, ', ' order by pubname) from pg_publication
  union all
  select name || ' is ' || current_setting(name)
    from unnest(array['default_transaction_isolation', 'default_transaction_deferrable']) name
   where current_setting(name) not in ('read committed', 'off')
  ) x where fact is not null order by fact collate "C"`;
