# Deletes a stack and what it created. Sourced by deploy/aws/deploy.

# Sorts the buckets among the stack's resources: `owned` are those that it created and deletes, `left` the others and
# why. Name and status prove nothing: the bucket may be another's, imported, or created by hand in place of the stack's.
sort_buckets() {
    local resources body id status name owner creator line lines=()
    resources=$(step aws cloudformation list-stack-resources --stack-name "$stack_id" --output text --query \
        "StackResourceSummaries[?ResourceType=='AWS::S3::Bucket'].[LogicalResourceId,ResourceStatus,PhysicalResourceId]") ||
        fail "the resources of the stack $stack cannot be listed: nothing is deleted"
    body=$(step aws cloudformation get-template --stack-name "$stack_id" --query TemplateBody --output text) ||
        fail "the template of the stack $stack cannot be read: nothing is deleted"
    while read -r line; do
        [[ -z $line ]] || lines+=("$line")
    done <<<"$resources"
    owned=() left=()
    for line in ${lines[@]+"${lines[@]}"}; do
        IFS=$'\t' read -r id status name <<<"$line"
        if [[ -z $name || $name == None ]]; then
            left+=("$id: never created ($status)")
            continue
        fi
        case $status in
        CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE | IMPORT_COMPLETE) ;;
        UPDATE_FAILED | UPDATE_ROLLBACK_FAILED | ROLLBACK_FAILED | DELETE_FAILED) ;;
        *)
            left+=("s3://$name ($id): not created by the stack, or no longer its own ($status)")
            continue
            ;;
        esac
        if [[ $(deletion_policy "$id" <<<"$body") != Delete ]]; then
            left+=("s3://$name ($id): retained, its DeletionPolicy in the stack's template is not Delete")
            continue
        fi
        owner=$(ownership "$name")
        case $owner in
        missing)
            left+=("s3://$name ($id): already deleted")
            continue
            ;;
        foreign) fail "s3://$name ($id) belongs to another account, or these credentials may not use it: nothing is deleted" ;;
        esac
        # Only CloudFormation can set this tag, and does so on every bucket that it creates.
        creator=$(bucket_tag "$name" aws:cloudformation:stack-id)
        if [[ $creator == "$stack_id" ]]; then
            owned+=("$name")
            continue
        fi
        if [[ -n $creator ]]; then
            left+=("s3://$name ($id): created by $creator, not by this stack ($status)")
        else
            left+=("s3://$name ($id): imported or created by hand, it has no tag aws:cloudformation:stack-id ($status)")
        fi
        left+=("  CloudFormation deletes it with the stack if it is empty; if not, the stack ends in DELETE_FAILED. Then either"
            "  keep it: aws cloudformation delete-stack --region $region --stack-name $stack_id --retain-resources $id"
            "  or, if it may go, empty it yourself and run this again")
    done
}

# The DeletionPolicy of a resource in a template like ours on standard input.
deletion_policy() {
    awk -v resource="  $1:" '
        /^Resources:/ { resources = 1 }
        resources && $0 == resource { inside = 1; next }
        inside && /^  [^ ]/ { exit }
        inside && /^    DeletionPolicy:/ { print $2; exit }'
}

nothing="0 objects and versions, 0 unfinished uploads"

# The contents of a bucket, in the format of `nothing`; delete markers count as versions.
contents() {
    local objects uploads
    objects=$(s3api list-object-versions "$1" --query '[Versions,DeleteMarkers][].[IsLatest]' --output text) ||
        fail "s3://$1 cannot be listed, so it may hold images: let these credentials list it (s3:ListBucketVersions). Nothing is deleted"
    uploads=$(upload_ids "$1") || return
    echo "$(grep -c -e True -e False <<<"$objects") objects and versions, $(grep -c . <<<"$uploads") unfinished uploads"
}

upload_ids() {
    local ids
    ids=$(s3api list-multipart-uploads "$1" --query 'Uploads[].[UploadId]' --output text) ||
        fail "the unfinished uploads of s3://$1 cannot be listed: let these credentials list them (s3:ListBucketMultipartUploads)"
    grep -v -x None <<<"$ids" || true
}

# Deletes the contents of a bucket.
empty() {
    local bucket=$1 batch=$workspace/batch.json refused ids id
    ids=$(upload_ids "$bucket")
    [[ $dry_run == no ]] || ids=UPLOAD
    for id in $ids; do
        # The key is passed in a file: it may contain any character.
        s3api list-multipart-uploads "$bucket" --output json \
            --query "Uploads[?UploadId=='$id'] | [0].{Key: Key, UploadId: UploadId}" >"$batch"
        s3api abort-multipart-upload "$bucket" --cli-input-json "file://$batch" >/dev/null ||
            fail "s3://$bucket: the unfinished upload $id is not aborted, the stack is still there. Run this again"
    done
    while true; do
        # Always the first page: its objects are deleted before the next listing.
        s3api list-object-versions "$bucket" --no-paginate --max-keys 1000 --output json \
            --query '{Objects: [Versions,DeleteMarkers][].{Key: Key, VersionId: VersionId}}' >"$batch" ||
            fail "s3://$bucket cannot be listed, the stack is still there. Run this again"
        [[ $dry_run == yes ]] || grep -q '"Key"' "$batch" || return 0
        refused=$(s3api delete-objects "$bucket" --delete "file://$batch" --query 'Errors[].[Code,Key,VersionId]' --output text) ||
            fail "s3://$bucket is not emptied, the stack is still there. Run this again"
        [[ -z $refused || $refused == None ]] ||
            fail "s3://$bucket: S3 refused to delete $(grep -c . <<<"$refused") objects, the stack is still there. Allow it and run this again. The first ones:"$'\n'"$(head -n 10 <<<"$refused")"
        [[ $dry_run == no ]] || return 0
    done
}

confirm() {
    local answer=''
    [[ $yes == no && $dry_run == no ]] || return 0
    [[ -t 0 ]] || fail "nothing is deleted: there is no terminal to ask on. Use --yes to delete what is listed above"
    printf 'Type the name of the stack to delete it: ' >&2
    read -r answer || true
    [[ $answer == "$stack" ]] || fail "\"$answer\" is not the stack's name: nothing is deleted"
}

destroy() {
    local found status protected owned left bucket count objects uploads owner artefacts=no tag
    account
    found=$(describe_stack 'Stacks[0].[StackId,StackStatus,EnableTerminationProtection]')
    [[ $dry_run == no ]] || found=$stack$'\tCREATE_COMPLETE\tFalse'
    [[ -n $found ]] || fail "there is no stack $stack in $region, account $account: nothing is deleted"
    # By its identifier from here on: another stack may get the name meanwhile.
    IFS=$'\t' read -r stack_id status protected <<<"$found"
    case $status in
    DELETE_COMPLETE) fail "the stack $stack is deleted already" ;;
    REVIEW_IN_PROGRESS | *_COMPLETE | *_FAILED) ;;
    *) fail "the stack $stack is in $status: nothing is deleted. Wait until that is over, and run this again" ;;
    esac
    [[ $protected != True ]] ||
        fail "the stack $stack has termination protection: nothing is deleted. Switch it off with \"aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name $stack\""
    sort_buckets
    if [[ $dry_run == yes ]]; then
        log "BUCKET stands for every bucket among them that the stack created"
        owned=(BUCKET)
    fi

    log "to be deleted: the stack $stack ($status, $region, account $account) with all that it created, and in it"
    for bucket in ${owned[@]+"${owned[@]}"}; do
        count=$(contents "$bucket")
        [[ $dry_run == no ]] || continue
        echo "   s3://$bucket: $count"
        [[ $delete_images == yes || $count == "$nothing" ]] ||
            fail "s3://$bucket holds images: save them, or use --delete-images. Nothing is deleted"
    done
    if [[ $dry_run == yes ]]; then
        artefacts=yes
    else
        owner=$(ownership "$artefact_bucket")
        case $owner in
        own)
            tag=$(bucket_tag "$artefact_bucket" "$artefact_tag")
            if [[ $tag == "$stack" ]]; then
                count=$(contents "$artefact_bucket")
                echo "   s3://$artefact_bucket: $count"
                artefacts=yes
            else
                left+=("s3://$artefact_bucket: not marked as this stack's by a tag $artefact_tag")
            fi
            ;;
        foreign) left+=("s3://$artefact_bucket: another account's, or closed to these credentials") ;;
        esac
    fi
    ((${#left[@]} == 0)) || log "not touched:"
    for bucket in ${left[@]+"${left[@]}"}; do echo "   $bucket"; done
    confirm

    if [[ $delete_images == yes ]]; then
        for bucket in ${owned[@]+"${owned[@]}"}; do empty "$bucket"; done
    fi
    # Before the stack, which an interrupted run needs to find it again.
    if [[ $artefacts == yes ]]; then
        empty "$artefact_bucket"
        s3api delete-bucket "$artefact_bucket"
    fi
    step aws cloudformation delete-stack --stack-name "$stack_id"
    step aws cloudformation wait stack-delete-complete --stack-name "$stack_id" ||
        fail "the stack $stack is not deleted: \"aws cloudformation describe-stack-events --stack-name $stack\" shows why. Then run this again"
    [[ $dry_run == yes ]] || log "the stack $stack is deleted"
}
