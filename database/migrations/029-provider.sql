-- Which provider a deposit is placed at. There is one so far, which every row of before has: a constant default is written
-- into no row.
set local search_path = engine;

alter table deposit add column provider text not null default 'mtpay';
grant select (provider) on deposit to app_api, app_worker, auditor;

create trigger provider before update of provider on deposit for each row when (old.provider is distinct from new.provider)
  execute function keep_facts();
