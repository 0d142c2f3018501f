# What can be known to fail before anything is created. Sourced by deploy/aws/deploy.

# The names that a stack takes if it is given none: those of the reference design for the stack tintype, else with the
# stack's name. Buckets' names are passed to the template, which cannot write them in lower case.
names() {
    local own=''
    function_name=$(parameter FunctionName "")
    dashboard_name=$(parameter DashboardName "")
    source_bucket=$(parameter SourceBucketName "")
    destination_bucket=$(parameter DestinationBucketName "")
    [[ $stack == tintype ]] || own=$(tr '[:upper:]' '[:lower:]' <<<"$stack")-
    [[ -n $source_bucket ]] || source_bucket=$(bucket_name input-product-images "$own")
    [[ -n $destination_bucket ]] || destination_bucket=$(bucket_name output-product-thumbnail "$own")
    if [[ $stack == tintype ]]; then
        function_name=${function_name:-Thumbnails}
        dashboard_name=${dashboard_name:-thumbnail}
    else
        function_name=${function_name:-$stack-Thumbnails}
        dashboard_name=${dashboard_name:-$stack-thumbnail-$region}
    fi
    ((${#function_name} <= 64)) || fail "the function's name $function_name has more than 64 characters: set FunctionName=…"
}

# At most 63 characters: a long stack's name is replaced by its digest.
bucket_name() {
    local base=$1 own=$2 name
    name=$base-$own$account-$region
    if ((${#name} > 63)); then
        name=$base-$(digest <<<"$own$account-$region" | cut -c1-12)
    fi
    echo "$name"
}

# Whether a name is new to the stack: it does not exist yet, or this parameter changes.
is_new() {
    local given
    [[ $existed == yes ]] || return 0
    for given in ${parameters[@]+"${parameters[@]}"}; do
        [[ $given != "$1="* ]] || { [[ ${given#*=} != "$(current "$1")" ]] && return 0; }
    done
    return 1
}

# Notes a conflict if the command finds the name: it fails with one of the errors `absent`, or prints nothing, if not.
taken() {
    local what=$1 advice=$2 absent=$3 found
    shift 3
    if found=$("$@" 2>"$workspace/error"); then
        [[ -z $found || $found == None ]] || conflicts+=("$what: $advice")
    elif ! grep -q "$absent" "$workspace/error"; then
        log "whether there is already a $what is not known: $(<"$workspace/error")"
    fi
}

bucket_conflict() {
    local name=$1 parameter=$2 exists=$3 owner=missing
    [[ $dry_run == yes ]] || owner=$(ownership "$name")
    case $exists-$owner in
    true-own | false-missing) ;;
    true-*) [[ $dry_run == yes ]] || conflicts+=("bucket $name: ${parameter}Exists=true, but this account has no such bucket that these credentials may use") ;;
    false-own) is_new "${parameter}Name" && conflicts+=("bucket $name: to use it as it is set ${parameter}Exists=true; for a new one set ${parameter}Name=…") ;;
    false-foreign) is_new "${parameter}Name" && conflicts+=("bucket $name: another account has it, or these credentials may not use it; set ${parameter}Name=…") ;;
    esac
    return 0
}

# Everything that the stack would create under a name that something else has: of another stack, or created by hand.
preflight() {
    local conflicts=() conflict
    log "checking that the names are free"
    if is_new FunctionName; then
        taken "function $function_name" "set FunctionName=…" ResourceNotFoundException \
            step aws lambda get-function-configuration --function-name "$function_name" --query FunctionName --output text
        taken "log group /aws/lambda/$function_name" \
            "a function created by hand leaves it behind; delete it with \"aws logs delete-log-group --log-group-name /aws/lambda/$function_name\", or set FunctionName=…" \
            ResourceNotFoundException step aws logs describe-log-groups --log-group-name-prefix "/aws/lambda/$function_name" \
            --query "logGroups[?logGroupName=='/aws/lambda/$function_name'].logGroupName" --output text
        taken "queue $function_name-dead-letters" "set FunctionName=…" "NonExistentQueue\|QueueDoesNotExist" \
            sqs get-queue-url --queue-name "$function_name-dead-letters" --query QueueUrl --output text
    fi
    if is_new DashboardName; then
        # Dashboards are those of all regions.
        taken "dashboard $dashboard_name" "creating it would overwrite it; set DashboardName=…" ResourceNotFound \
            step aws cloudwatch list-dashboards --dashboard-name-prefix "$dashboard_name" \
            --query "DashboardEntries[?DashboardName=='$dashboard_name'].DashboardName" --output text
    fi
    bucket_conflict "$source_bucket" SourceBucket "$(parameter SourceBucketExists false)"
    bucket_conflict "$destination_bucket" DestinationBucket "$(parameter DestinationBucketExists false)"
    ((${#conflicts[@]} == 0)) || {
        for conflict in "${conflicts[@]}"; do echo "   $conflict" >&2; done
        fail "these names are taken; nothing is created"
    }
    environment_fits
    event_bridge
}

# Lambda allows 4 KB for names and values of a function's environment.
environment_fits() {
    local bytes
    bytes=$({
        # The names, the queue's address, switches and the package's key.
        printf '%900s' ''
        printf '%s' "$source_bucket" "$destination_bucket" "$function_name" "$(parameter Prefix "")" "$(parameter CorsOrigin "")"
        printf '%s' "$(parameter ThumbnailKey "")" "$(parameter Settings "")"
    } | wc -c)
    ((bytes <= 4096)) ||
        fail "the function's environment would have about $bytes bytes, and Lambda allows 4096: put the settings into a file and pass it with --settings"
}

# An existing bucket sends no events until its EventBridge is switched on. That replaces its whole notification
# configuration, which may be others', so it is left to its owner.
event_bridge() {
    local enabled
    [[ $(parameter SourceBucketExists false) == true ]] || return 0
    enabled=$(s3api get-bucket-notification-configuration "$source_bucket" --query 'EventBridgeConfiguration' --output text) || return 0
    [[ $dry_run == yes || -z $enabled || $enabled == None ]] || return 0
    log "s3://$source_bucket sends no events to EventBridge: switch it on in the console (Properties, Event notifications), or see docs/guides/aws.md"
}
